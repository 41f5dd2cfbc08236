package execd

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strconv"

	"github.com/matrx/sandbox/internal/pid1/process"
)

// descendants are the processes of some execs, as a Stop finds them. The kernel does not remember of whom a process
// descends: an orphan becomes this server's child (prctl(2), PR_SET_CHILD_SUBREAPER), whichever exec it is of. A
// process is an exec's when the first of these that can be said of it, or of the nearest ancestor of which one can,
// says so:
//
//  1. it is the exec's process, or in its session; neither can be changed but by setsid(2);
//  2. it was seen to be the exec's before;
//  3. the environment that it was executed with has the exec's mark, which may be one that has been forgotten.
//
// A process of which none can be said has left its session and its environment. It may be any exec's that ran when it
// began, and ends with the first of them that is ended. One that has left its session and wears the mark of another exec
// is taken for that one's, and outlives its own exec's timeout: execs are not isolated from each other.
type descendants []*execution

var _ process.Set = descendants{}

// Living implements process.Set.
func (d descendants) Living() ([]process.Proc, bool, error) {
	scan, err := process.Look()
	if err != nil {
		return nil, false, err
	}
	owners := d[0].server.owners(scan.All)
	return scan.Living(func(p process.Proc) bool { return owners.owns(d, p) })
}

// owners finds whose the processes of a scan are.
type owners struct {
	self     int
	all      map[int]process.Proc
	sessions map[int]*execution // by the number of the exec's process
	marks    map[string]*execution
	seen     *sightings
	found    map[int]*execution // nil: not known whose
}

func (s *Server) owners(all map[int]process.Proc) *owners {
	o := &owners{self: os.Getpid(), all: all, sessions: map[int]*execution{}, marks: map[string]*execution{}, seen: s.sightings, found: map[int]*execution{}}
	for _, x := range s.table.all() { // the oldest first: a number that is used again is the newer one's
		if x.child != nil {
			o.sessions[x.child.PID] = x
			o.marks[x.spec.ID] = x
		}
	}
	// An exec that is being started has no session and no mark yet, and is no other's.
	for _, pid := range s.Reaper.Started() {
		if o.sessions[pid] == nil {
			o.sessions[pid] = &execution{}
		}
	}
	s.sightings.prune(all)
	return o
}

// owns says whether a process is to be ended with one of some execs.
func (o *owners) owns(ended []*execution, p process.Proc) bool {
	ours, owner := o.owner(p)
	if !ours {
		return false
	}
	if owner != nil {
		return slices.Contains(ended, owner)
	}
	return slices.ContainsFunc(ended, func(x *execution) bool { return x.mayHaveStarted(p) })
}

// mayHaveStarted says whether a process began while the exec ran.
func (x *execution) mayHaveStarted(p process.Proc) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	last := uint64(math.MaxUint64)
	if x.status != nil && x.cause == "" { // one that was ended is answerable for all
		last = x.ended
	}
	return x.began <= p.Start && p.Start <= last
}

// owner finds whose a process is; nil: not known whose. ours is false for what does not descend from this server.
func (o *owners) owner(p process.Proc) (ours bool, owner *execution) {
	var way []process.Proc
	for range len(o.all) { // the reads are not of one instant: a circle is possible
		if p.PID == o.self {
			break
		}
		if x, ok := o.found[p.PID]; ok {
			return true, o.learn(way, x)
		}
		way = append(way, p)
		if x := o.known(p); x != nil {
			return true, o.learn(way, x)
		}
		parent, ok := o.all[p.PPID]
		if !ok {
			return false, nil // of the next scan
		}
		p = parent
	}
	if p.PID != o.self || len(way) == 0 {
		return false, nil
	}
	return true, o.learn(way, nil)
}

func (o *owners) learn(way []process.Proc, x *execution) *execution {
	for _, p := range way {
		o.found[p.PID] = x
		if x != nil {
			o.seen.remember(p, x)
		}
	}
	return x
}

// known is what can be said of a process by itself.
func (o *owners) known(p process.Proc) *execution {
	if x := o.session(p.PID, p); x != nil {
		return x
	}
	if x := o.session(p.Session, p); x != nil {
		return x
	}
	if x := o.seen.of(p); x != nil {
		return x
	}
	if !o.descends(p) {
		return nil
	}
	id := mark(p.PID)
	if x := o.marks[id]; x != nil && p.Start >= x.began {
		return x
	}
	if o.seen.forgot(id) {
		return &execution{} // of one that is not known any more
	}
	return nil
}

// session is the exec whose session has a number, and a process in it. The number may be another session's by now.
func (o *owners) session(number int, p process.Proc) *execution {
	x := o.sessions[number]
	if x == nil || p.Start < x.began {
		return nil
	}
	if leader, ok := o.all[number]; ok && x.endedBefore(leader.Start) {
		return nil
	}
	return x
}

// endedBefore says whether the exec's process had ended by then.
func (x *execution) endedBefore(tick uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.status != nil && x.ended < tick
}

// descends says whether a process is below this server, so that no environment of others is read.
func (o *owners) descends(p process.Proc) bool {
	for range len(o.all) {
		if p.PPID == o.self {
			return true
		}
		parent, ok := o.all[p.PPID]
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

// maxEnvironment bounds what is read of one.
const maxEnvironment = 256 << 10

// mark is the exec that the environment of a process names; empty: none, or it is not told.
func mark(pid int) string {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	defer f.Close()
	buf := make([]byte, maxEnvironment)
	n, _ := f.Read(buf)
	for kv := range bytes.SplitSeq(buf[:n], []byte{0}) {
		if value, ok := bytes.CutPrefix(kv, []byte(markVariable+"=")); ok {
			return string(value)
		}
	}
	return ""
}
