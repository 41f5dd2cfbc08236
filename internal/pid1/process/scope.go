package process

import (
	"bytes"
	"os"
	"slices"
)

// Scope says which processes are this sandbox's.
type Scope struct {
	// Self is this process. As PID 1, everything else in the namespace is the
	// sandbox's; else its descendants are.
	Self int

	// Kept are the children that are left alone, with their descendants; see Reaper.Kept.
	Kept func() []int

	// Spared are the children that are left alone, without their descendants; see Reaper.Spared.
	Spared func() []int
}

// Living lists the sandbox's processes that have not ended. complete is false when the scan may
// have missed one: /proc is not read in one instant, and a process that forks and ends
// between the listing and the look at it is found ended, its child not at all.
func (s Scope) Living() (living []Proc, complete bool, err error) {
	scan, err := Look()
	if err != nil {
		return nil, false, err
	}
	// Asked after the scan: a kept process that the scan has seen is known by now.
	kept, spared := s.Kept(), s.Spared()
	return scan.living(func(p Proc) (ours, known bool) { return s.owns(p, scan.All, kept, spared) })
}

// Scan is what a look through /proc has found. It is not one instant.
type Scan struct {
	All    map[int]Proc
	before []byte
	whole  bool // each process that was listed was seen
}

// Look looks through all of /proc.
func Look() (Scan, error) {
	before := lastPID()
	listed, err := pids()
	if err != nil {
		return Scan{}, err
	}
	all := make(map[int]Proc, len(listed))
	for _, pid := range listed {
		if p, ok := stat(pid); ok {
			all[pid] = p
		}
	}
	// A process that ended after the listing may have been ours, and so may its child be.
	return Scan{All: all, before: before, whole: len(all) == len(listed)}, nil
}

// Living lists the processes that ours says are of a set and that have not ended. complete is false when
// the scan may have missed one of them.
func (n Scan) Living(ours func(Proc) bool) (living []Proc, complete bool, err error) {
	return n.living(func(p Proc) (bool, bool) { return ours(p), true })
}

func (n Scan) living(owns func(Proc) (ours, known bool)) (living []Proc, complete bool, err error) {
	complete = n.whole
	for _, p := range n.All {
		ours, known := owns(p)
		switch {
		case !known:
			complete = false
		case ours && p.Alive():
			living = append(living, p)
		case ours: // it may have ended, and forked, after the listing
			complete = false
		}
	}
	// If no process was forked meanwhile, none can be missing.
	return living, complete || nothingForked(n.before, lastPID()), nil
}

// lastPID is the number of the process or thread that was made last in this PID namespace, the
// last field of /proc/loadavg (proc_loadavg(5)); nil when it cannot be read, or is not kept: gVisor
// writes 0.
func lastPID() []byte {
	line, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil
	}
	fields := bytes.Fields(line)
	if len(fields) == 0 || string(fields[len(fields)-1]) == "0" {
		return nil
	}
	return fields[len(fields)-1]
}

func nothingForked(before, after []byte) bool {
	return before != nil && bytes.Equal(before, after)
}

// owns follows the parents upwards. A parent that ended between two reads leaves the
// chain broken, and known is false. In the next scan the child's parent is this process, the
// subreaper.
func (s Scope) owns(p Proc, all map[int]Proc, kept, spared []int) (ours, known bool) {
	if slices.Contains(spared, p.PID) {
		return false, true
	}
	// At most as many steps as there are processes: the reads are not of one instant.
	for range len(all) {
		switch {
		case p.PID == s.Self || slices.Contains(kept, p.PID):
			return false, true
		case p.PPID == s.Self:
			return true, true
		case p.PPID == 0: // the namespace's first process, or one that was exec'd in from outside
			return s.Self == 1, true
		}
		parent, ok := all[p.PPID]
		if !ok {
			break
		}
		p = parent
	}
	return s.Self == 1, s.Self == 1
}
