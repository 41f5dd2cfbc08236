package queue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is a disk with its whole history, an S3, and a caller of Queue between them,
// all of them obvious. Each operation on the disk has a number, which is also the
// version that it writes.
type world struct {
	t     *rapid.T
	queue *Queue
	now   Time

	ops     int
	disk    map[string]int          // name -> version
	history map[string][]historical // name -> what happened to it, in order

	s3      map[string]int  // name -> version
	s3gone  map[string]int  // name -> number of the deletion that S3 has seen
	journal map[string]int  // what the caller knows of s3
	excused map[string]int  // name -> the last version that was stuck over another when it vanished (rule 5)
	anyway  map[string]bool // what is in the way of its write was looked at

	strict  bool     // S3 refuses an object below another one, and one above others, as a file system would
	denied  bool     // S3 refuses to delete, until the end
	ordered bool     // events come, in order, and none is lost
	events  []event  // not read yet
	scan    []string // the names that the scan under way has yet to look at
	scanAt  Time
	jobs    []*running
}

type historical struct {
	op      int
	written bool
}

type event struct {
	op    int
	name  string
	write bool
}

type running struct {
	job     Job
	beside  []string // what had been refused when the job began: S3 may hold it beside the job's name
	read    bool     // the disk was read
	version int      // 0: it was not there
	sent    bool
}

var names = []string{"a", "b", "c", "p", "p/x", "p/y", "p/y/z", "q/r"}

func newWorld(t *rapid.T) *world {
	return &world{
		t: t, queue: New(Rules{Quiet: 5 * time.Millisecond, MaxStaleness: 30 * time.Millisecond, Bulk: 2, BulkMost: 1}),
		disk: map[string]int{}, history: map[string][]historical{},
		s3: map[string]int{}, s3gone: map[string]int{}, journal: map[string]int{},
		excused: map[string]int{}, anyway: map[string]bool{},
		ordered: rapid.Bool().Draw(t, "ordered"), strict: rapid.Bool().Draw(t, "strict"), denied: rapid.IntRange(0, 3).Draw(t, "denied") == 0,
	}
}

func (w *world) change(name string, write bool) {
	if write {
		w.disk[name] = w.ops
	} else {
		delete(w.disk, name)
	}
	w.history[name] = append(w.history[name], historical{w.ops, write})
	if w.ordered {
		w.events = append(w.events, event{w.ops, name, write})
	}
}

// makeRoom deletes what stands where name has to be.
func (w *world) makeRoom(name string) {
	for _, other := range names {
		if w.disk[other] != 0 && Exclusive(name, other) {
			w.ops++
			w.change(other, false)
		}
	}
}

func (w *world) writeFile() {
	name := rapid.SampledFrom(names).Draw(w.t, "write")
	w.makeRoom(name)
	w.ops++
	w.change(name, true)
}

func (w *world) existing(label string) (string, bool) {
	var all []string
	for _, n := range names {
		if w.disk[n] != 0 {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return "", false
	}
	return rapid.SampledFrom(all).Draw(w.t, label), true
}

func (w *world) deleteFile() {
	if name, ok := w.existing("delete"); ok {
		w.ops++
		w.change(name, false)
	}
}

// rename is one operation with two sides; the caller pairs them and looks at the new
// name first.
func (w *world) rename() {
	from, ok := w.existing("from")
	if !ok {
		return
	}
	to := rapid.SampledFrom(names).Draw(w.t, "to")
	if to == from || Exclusive(to, from) {
		return
	}
	w.makeRoom(to)
	if w.disk[from] == 0 {
		return
	}
	w.ops++
	w.change(to, true)
	w.change(from, false)
}

// excuse notes that what is gone could not be stored, over an older version, when it went.
func (w *world) excuse(name string) {
	if w.s3[name] == 0 {
		return // it held deletions back as long as it was there
	}
	for _, h := range w.history[name] {
		if h.written && w.disk[name] != h.op {
			w.excused[name] = h.op
		}
	}
}

func (w *world) excuseNewest(name string) {
	for _, h := range w.history[name] {
		if h.written {
			w.excused[name] = h.op
		}
	}
}

func (w *world) look(name string, ordered bool) {
	version, known := w.disk[name], w.journal[name]
	_, pending := w.queue.Has(name)
	if version == 0 && w.isStuck(name) {
		w.excuse(name)
	}
	switch {
	case version != 0 && version == known:
		w.queue.Same(name, true, ordered, w.now)
	case version != 0:
		// What stood in its place was deleted before: say so first.
		for _, other := range names {
			_, pending := w.queue.Has(other)
			if Exclusive(name, other) && (pending || w.journal[other] != 0) && w.disk[other] == 0 {
				if w.isStuck(other) {
					w.excuse(other)
				}
				w.queue.Delete(other, ordered, w.now)
			}
		}
		w.queue.Write(name, rapid.Int64Range(1, 2).Draw(w.t, "size"), Order{Exists: known != 0}, w.now)
	case known != 0 || pending:
		w.queue.Delete(name, ordered, w.now)
	default:
		w.queue.Same(name, false, ordered, w.now)
	}
}

func (w *world) readEvents() {
	if !w.ordered {
		w.scanStep()
		return
	}
	n := rapid.IntRange(0, len(w.events)).Draw(w.t, "events")
	// A pair of a rename is never torn apart: it is one operation, and the caller waits for both.
	for n > 0 && n < len(w.events) && w.events[n-1].op == w.events[n].op {
		n++
	}
	for _, e := range w.events[:n] {
		w.react(e)
	}
	w.events = w.events[n:]
	if len(w.events) == 0 {
		w.queue.ObservedUpTo(w.now)
	}
}

// react looks where an event says. What was written and is gone already counts as
// written: its deletion has an event of its own coming.
func (w *world) react(e event) {
	if e.write && w.disk[e.name] == 0 {
		w.queue.Write(e.name, 0, Order{Exists: w.journal[e.name] != 0}, w.now)
		return
	}
	w.look(e.name, true)
}

// scanStep looks at some names of a scan in an order that has nothing to do with the changes'.
func (w *world) scanStep() {
	if len(w.scan) == 0 {
		w.scan = rapid.Permutation(names).Draw(w.t, "scan")
		w.scanAt = w.now
	}
	n := rapid.IntRange(1, len(w.scan)).Draw(w.t, "steps")
	for _, name := range w.scan[:n] {
		w.look(name, false)
	}
	w.scan = w.scan[n:]
	if len(w.scan) == 0 {
		w.queue.ObservedUpTo(w.scanAt)
	}
}

func (w *world) start() {
	if j, ok := w.queue.Next(w.now); ok {
		for _, r := range w.jobs {
			if r.job.Name == j.Name {
				w.t.Fatalf("two jobs for %q at once", j.Name)
			}
		}
		r := &running{job: j, beside: w.stuck()}
		for _, name := range r.beside {
			if j.Kind == Delete && w.s3[name] != 0 {
				w.excuseNewest(name) // rule 5: this deletion does not wait for it, also when it is stored now
			}
		}
		w.jobs = append(w.jobs, r)
	}
}

func (w *world) stuck() (all []string) {
	for p := range w.queue.Pending {
		if p.Stuck {
			all = append(all, p.Name)
		}
	}
	return all
}

// deletionOf is the number of the operation that deleted a version.
func (w *world) deletionOf(name string, version int) int {
	for _, h := range w.history[name] {
		if !h.written && h.op > version {
			return h.op
		}
	}
	w.t.Fatalf("version %d of %q is deleted in S3 and never was on the disk", version, name)
	return 0
}

// work does the next step of one job: read the disk, change S3, answer. Faults lie
// between any two of them.
func (w *world) work(faults bool) {
	if len(w.jobs) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.jobs)-1).Draw(w.t, "job")
	r := w.jobs[i]
	done := func(o Outcome) {
		w.jobs = slices.Delete(w.jobs, i, i+1)
		if kind, _ := w.queue.Has(r.job.Name); o == Stuck && kind == Delete {
			w.excuse(r.job.Name)
		}
		if o == Stuck && r.job.Kind == Write && w.s3[r.job.Name] != 0 {
			w.excuseNewest(r.job.Name) // rule 5: deletions that begin from now on do not wait for it
		}
		if o == Stored && r.job.Kind == Delete {
			delete(w.journal, r.job.Name)
		}
		w.queue.Done(r.job, o, w.now+2*time.Millisecond, w.now)
		if kind, _ := w.queue.Has(r.job.Name); w.ordered && kind == Delete && r.job.Kind == Write {
			w.look(r.job.Name, false)
			w.queue.Rechecked(r.job.Name, w.now)
		}
		w.now++
	}
	fault := 0
	if faults {
		fault = rapid.IntRange(0, 9).Draw(w.t, "fault")
	}
	switch {
	case fault == 1:
		done(Retry)
	case fault == 2 && r.sent:
		done(Retry) // a refusal has no effect; a lost answer may
	case fault == 2, faults && w.denied && r.read && !r.sent && r.job.Kind == Delete:
		done(Stuck)
	case !r.read:
		r.read, r.version = true, w.disk[r.job.Name]
		if (r.version == 0) != (r.job.Kind == Delete) {
			done(Changed)
		}
	case !r.sent:
		r.sent = true
		name := r.job.Name
		if r.job.Kind == Write {
			if other := w.inTheWay(name); other != "" && !w.anyway[name] {
				w.anyway[name] = true
				done(Changed)
				w.look(other, false)
				return
			}
			w.anyway[name] = false
			if w.isRefused(name) {
				done(Stuck)
				return
			}
			for other := range w.s3 {
				if Exclusive(name, other) && !slices.Contains(r.beside, other) && !w.denied {
					w.t.Fatalf("%q is written while S3 holds %q", name, other)
				}
			}
			w.s3[name], w.journal[name] = r.version, r.version
			delete(w.s3gone, name)
		} else if w.s3[name] != 0 {
			w.s3gone[name] = w.deletionOf(name, w.s3[name])
			delete(w.s3, name)
		}
		w.check()
	default:
		done(Stored)
	}
}

func (w *world) isRefused(name string) bool {
	for other := range w.s3 {
		if w.strict && Exclusive(name, other) {
			return true
		}
	}
	return false
}

// inTheWay is what S3 is known to hold and has to lose before it can hold name. A caller who
// reads the disk ahead of the changes' order may find out only now.
func (w *world) inTheWay(name string) string {
	for _, other := range names {
		if w.journal[other] != 0 && Exclusive(name, other) {
			return other
		}
	}
	return ""
}

func (w *world) isStuck(name string) bool {
	return slices.Contains(w.stuck(), name)
}

// check is what a kill at this instant, with the disk lost, must find: if a deletion
// arrived, then so did all that was written before it; what was deleted in its turn
// without having arrived counts as a deletion that arrived.
func (w *world) check() {
	if w.denied {
		return // what waits for a deletion goes without it: only that it all settles in the end is looked at
	}
	arrived, by := 0, ""
	for name, op := range w.s3gone {
		if op > arrived {
			arrived, by = op, name
		}
	}
	for changed := true; changed; {
		changed = false
		for name, history := range w.history {
			written, deleted := 0, 0
			for _, h := range history {
				if h.written && h.op <= arrived {
					written, deleted = h.op, 0
				}
				if !h.written && deleted == 0 && h.op > written {
					deleted = h.op
				}
			}
			if written <= w.excused[name] || w.s3[name] >= written || w.isStuck(name) && w.s3[name] != 0 || w.hadToWait(name) {
				continue
			}
			if deleted == 0 {
				w.t.Fatalf("the deletion %d (of %q) is in S3, and the write %d of %q is not:\ndisk %v\ns3 %v\nhistory %v",
					arrived, by, written, name, w.disk, w.s3, w.history)
			}
			if deleted > arrived {
				arrived, by, changed = deleted, name, true
			}
		}
	}
}

// hadToWait tells whether one of the deletions that arrived had to make room for name.
func (w *world) hadToWait(name string) bool {
	for gone := range w.s3gone {
		if Exclusive(name, gone) {
			return true
		}
	}
	return false
}

// flow lets time go by as it usually does: what was changed is observed, and jobs go through all their steps. Without
// it most histories are over before a second change of a name has reached S3.
func (w *world) flow() {
	if !w.ordered {
		return // a file that came and went between two looks was never seen, and nothing can wait for it
	}
	for range rapid.IntRange(1, 12).Draw(w.t, "turns") {
		w.now += 3 * time.Millisecond
		w.readEvents()
		w.start()
		w.work(true)
	}
}

func (w *world) settle() {
	for range 10_000 {
		w.now += time.Millisecond
		if w.ordered {
			for _, e := range w.events {
				w.react(e)
			}
			w.events = nil
			w.queue.ObservedUpTo(w.now)
		} else {
			w.scanStep()
		}
		w.start()
		for len(w.jobs) > 0 {
			w.work(false)
			w.consistent()
		}
		if w.queue.Len() == 0 && fmt.Sprint(w.disk) == fmt.Sprint(w.s3) {
			return
		}
	}
	w.t.Fatalf("never settles: %d pending, disk %v, s3 %v, blocked %d, deletes %d, inferred %d, spans %v, hold %d",
		w.queue.Len(), w.disk, w.s3, len(w.queue.blocked.items), len(w.queue.deletes.items), len(w.queue.awaiting), w.queue.spans, len(w.queue.hold.items))
}

func TestOrderAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		step := func(f func()) func(*rapid.T) {
			return func(*rapid.T) { w.now += time.Millisecond; f() }
		}
		t.Repeat(map[string]func(*rapid.T){
			"write":  step(w.writeFile),
			"delete": step(w.deleteFile),
			"rename": step(w.rename),
			"look":   step(w.readEvents),
			"start":  step(w.start),
			"work":   step(func() { w.work(true) }),
			"work2":  step(func() { w.work(false) }),
			"flow":   func(*rapid.T) { w.flow() },
			"hurry":  step(func() { w.queue.Hurry(rapid.Bool().Draw(t, "hurry")) }),
			"wait":   func(t *rapid.T) { w.now += Time(rapid.IntRange(1, 40).Draw(t, "ms")) * time.Millisecond },
			"":       func(*rapid.T) { w.consistent() },
		})
		w.settle()
	})
}

// consistent checks what the line keeps of itself.
func (w *world) consistent() {
	q := w.queue
	flying, bulk, bytes, stuckN, blocked, waiters := 0, 0, int64(0), 0, 0, 0
	below, stuckBelow := perDirectory{}, perDirectory{}
	for name, it := range q.items {
		if it.name != name || q.since.has(it) != true || q.ageOf(it).has(it) != true {
			w.t.Fatalf("%q is not where it belongs", name)
		}
		if it.is(inFlight) {
			flying++
			if it.is(bulky) {
				bulk++
			}
			if it.queue != nil {
				w.t.Fatalf("%q is under way and queued", name)
			}
		} else if it.queue == nil && !it.is(noBarrier) {
			w.t.Fatalf("%q is forgotten", name)
		}
		if it.is(stuck) {
			stuckN++
		}
		if it.is(stuck) && it.kind == Write {
			stuckBelow.count(name, true)
		}
		if it.queue == &q.blocked {
			blocked++
			if !q.waiters[it.waitsFor][it] {
				w.t.Fatalf("%q waits for %q, which does not find it", name, it.waitsFor)
			}
			above := q.items[it.waitsFor]
			if it.waitsFor == "" && q.below[name] == 0 || it.waitsFor != "" && (above == nil || !above.is(counted)) {
				w.t.Fatalf("%q waits for %q, which is not pending", name, it.waitsFor)
			}
		}
		held := (it.kind == Write || it.again == Write) && !(it.is(stuck) && it.is(replaces)) && it.queue != &q.blocked
		if q.hold.has(it) != held && !it.is(inFlight) {
			w.t.Fatalf("%q holds deletes back: %v, want %v", name, q.hold.has(it), held)
		}
		bytes += it.size
		if it.is(counted) {
			below.count(name, true)
		}
	}
	if flying != q.InFlight() || bytes != q.Bytes() || stuckN != q.StuckLen() || fmt.Sprint(below) != fmt.Sprint(q.below) {
		w.t.Fatalf("%d in flight of %d, %d bytes of %d, %d stuck of %d, below %v of %v", q.InFlight(), flying, q.Bytes(), bytes, q.StuckLen(), stuckN, q.below, below)
	}
	if fmt.Sprint(stuckBelow) != fmt.Sprint(q.stuckBelow) {
		w.t.Fatalf("stuck writes below %v of %v", q.stuckBelow, stuckBelow)
	}
	for _, all := range q.waiters {
		waiters += len(all)
	}
	if blocked != len(q.blocked.items) || blocked != waiters {
		w.t.Fatalf("%d writes wait for a delete, and %d are found by one, of %d", len(q.blocked.items), waiters, blocked)
	}
	if bulk != q.bulkFlying || bulk > q.rules.BulkMost {
		w.t.Fatalf("%d jobs of %d take long", q.bulkFlying, bulk)
	}
	for i, s := range q.spans {
		if s.from > s.to || i > 0 && q.spans[i-1].to >= s.from || s.open && i != len(q.spans)-1 {
			w.t.Fatalf("spans %v", q.spans)
		}
	}
}
