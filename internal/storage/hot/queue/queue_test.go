package queue

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// The model's failures hide in rare interleavings: 100 tries, rapid's default, see few of them.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "rapid.checks" })
	if !set {
		flag.Set("rapid.checks", "40000")
	}
	os.Exit(m.Run())
}

const ms = time.Millisecond

var rules = Rules{Quiet: 500 * ms, MaxStaleness: 5000 * ms}

// drain takes all jobs that may go at now, without ending any.
func drain(q *Queue, now Time) (names []string, jobs map[string]Job) {
	jobs = map[string]Job{}
	for {
		j, ok := q.Next(now)
		if !ok {
			return names, jobs
		}
		names = append(names, j.Name)
		jobs[j.Name] = j
	}
}

func want(t *testing.T, what string, got []string, names ...string) {
	t.Helper()
	if !slices.Equal(got, names) {
		t.Errorf("%s: %q, want %q", what, got, names)
	}
}

// Writes that take long go a few at a time, oldest first, and keep nothing else waiting, also when those that wait
// vanish or fail.
func TestBulkWritesKeepNothingWaiting(t *testing.T) {
	q := New(Rules{Quiet: 1, MaxStaleness: 5000 * ms, Bulk: 100, BulkMost: 2})
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		q.Write(name, 100, Order{}, Time(i))
	}
	q.Write("small", 99, Order{}, 10)
	got, jobs := drain(q, 1000)
	want(t, "the first", got, "a", "b", "small")
	q.Done(jobs["small"], Stored, 0, 1000)
	got, _ = drain(q, 1000)
	want(t, "while two are under way", got)
	q.Same("c", false, true, 1000) // it is gone
	q.Done(jobs["a"], Stored, 0, 1000)
	got, more := drain(q, 1000)
	want(t, "when one has ended", got, "d")
	q.Done(jobs["b"], Stuck, 9000*ms, 1000)
	q.Done(more["d"], Stored, 0, 1000)
	got, _ = drain(q, 1000)
	want(t, "when one could not be stored", got, "e")
}

func TestQuietAndStaleness(t *testing.T) {
	q := New(rules)
	q.Write("quiet", 1, Order{}, 0)
	for at := Time(0); at < 6000*ms; at += 100 * ms {
		q.Write("busy", 1, Order{}, at)
		got, _ := drain(q, at)
		switch at {
		case 500 * ms:
			want(t, at.String(), got, "quiet")
		case 5000 * ms:
			want(t, at.String(), got, "busy")
		default:
			want(t, at.String(), got)
		}
	}
}

func TestOldestFirst(t *testing.T) {
	q := New(rules)
	for i := range 100 {
		q.Write(fmt.Sprintf("f%02d", (i*37)%100), 1, Order{Exists: i%2 == 0}, Time(i)*ms)
	}
	got, _ := drain(q, 10_000*ms)
	for i, name := range got {
		if name != fmt.Sprintf("f%02d", (i*37)%100) {
			t.Fatalf("at %d comes %s: %q", i, name, got)
		}
	}
}

// git repack: the objects may go from S3 only when the pack is there.
func TestDeleteWaitsForWhatWasWrittenBefore(t *testing.T) {
	q := New(rules)
	q.Write("pack", 1, Order{}, 0)
	q.Delete("loose", true, 1*ms)
	q.ObservedUpTo(2 * ms)
	q.Write("later", 1, Order{}, 3*ms)
	got, jobs := drain(q, 1000*ms)
	want(t, "first", got, "pack", "later")
	q.Done(jobs["later"], Stored, 0, 1001*ms)
	got, _ = drain(q, 1002*ms)
	want(t, "while the pack is under way", got)
	q.Done(jobs["pack"], Stored, 0, 1003*ms)
	got, _ = drain(q, 1004*ms)
	want(t, "with the pack in S3", got, "loose")
}

// A second repack removes the pack of the first one before that is in S3.
func TestDeleteWaitsForWhatTookTheWritesPlace(t *testing.T) {
	q := New(rules)
	q.Write("pack1", 1, Order{}, 0)
	q.Delete("loose", true, 1*ms)
	q.ObservedUpTo(2 * ms)
	q.Write("pack2", 1, Order{}, 3*ms)
	q.Same("pack1", false, true, 4*ms)
	q.ObservedUpTo(5 * ms)
	got, jobs := drain(q, 1000*ms)
	want(t, "first", got, "pack2")
	q.Done(jobs["pack2"], Stored, 0, 1001*ms)
	got, _ = drain(q, 1002*ms)
	want(t, "then", got, "loose")
}

func TestNoDeleteBeforeCaught(t *testing.T) {
	q := New(rules)
	q.Delete("a", true, 10*ms)
	q.ObservedUpTo(10 * ms) // not beyond it
	got, _ := drain(q, 1000*ms)
	want(t, "not caught up", got)
	q.ObservedUpTo(11 * ms)
	got, _ = drain(q, 1000*ms)
	want(t, "caught up", got, "a")
}

// A write that cannot be stored holds deletions back only where S3 has no version of its name,
// and no write.
func TestStuckHoldsDeletesUnlessStoredBefore(t *testing.T) {
	for _, c := range []struct {
		name   string
		exists bool
		goes   bool
	}{
		{"new", false, false},
		{"stored", true, true},
		{"directory/", false, true},
	} {
		q := New(rules)
		q.Write(c.name, 1, Order{Exists: c.exists}, 0)
		q.Delete("gone", true, 1*ms)
		q.ObservedUpTo(2 * ms)
		_, jobs := drain(q, 1000*ms)
		q.Done(jobs[c.name], Stuck, 60_000*ms, 1001*ms)
		q.Write("other", 1, Order{}, 1001*ms)
		wanted, held := []string{"other"}, 1
		if c.goes {
			wanted, held = []string{"gone", "other"}, 0
		}
		if q.Held() != held || q.HeldByStuck("gone") != !c.goes {
			t.Errorf("%s: %d held, stuckHold %v", c.name, q.Held(), q.HeldByStuck("gone"))
		}
		got, others := drain(q, 2000*ms)
		want(t, "beside "+c.name+", which is stuck", got, wanted...)
		for _, j := range others {
			q.Done(j, Stored, 0, 2001*ms)
		}
		if q.StuckLen() != 1 || q.Len() != 1+held {
			t.Errorf("%s: stuck %d, pending %d", c.name, q.StuckLen(), q.Len())
		}
		_, jobs = drain(q, 60_001*ms)
		q.Done(jobs[c.name], Stored, 0, 60_001*ms)
		if !c.goes {
			got, _ = drain(q, 60_002*ms)
			want(t, "when it is stored", got, "gone")
		}
	}
}

// A file that was renamed over one that S3 has holds deletions back while it cannot be stored, also while it
// is tried again.
func TestStuckOnlyCopyHoldsDeletes(t *testing.T) {
	q := New(rules)
	q.Write("stored", 1, Order{Exists: true}, 0)
	q.Delete("gone", true, 1*ms)
	q.ObservedUpTo(2 * ms)
	_, jobs := drain(q, 1000*ms)
	q.Done(jobs["stored"], Stuck, 2000*ms, 1001*ms)
	got, deletes := drain(q, 1002*ms)
	want(t, "before it is known", got, "gone")
	q.OnlyCopy("stored", true)
	q.Done(deletes["gone"], Retry, 1100*ms, 1003*ms)
	got, _ = drain(q, 1999*ms)
	want(t, "while it is stuck", got)
	if q.Held() != 1 || !q.HeldByStuck("gone") {
		t.Errorf("%d held", q.Held())
	}
	got, jobs = drain(q, 3000*ms)
	want(t, "while it is tried again", got, "stored")
	q.Done(jobs["stored"], Stuck, 4000*ms, 3001*ms)
	got, jobs = drain(q, 5000*ms)
	want(t, "and once more", got, "stored")
	q.Done(jobs["stored"], Stored, 0, 5001*ms)
	got, _ = drain(q, 5002*ms)
	want(t, "when it is stored", got, "gone")
}

// What could not be stored and is gone goes on counting as what took its place.
func TestStuckThatVanishedLeavesASpan(t *testing.T) {
	q := New(rules)
	q.Write("new", 1, Order{}, 0)
	q.Delete("old", true, 1*ms)
	q.ObservedUpTo(2 * ms)
	_, jobs := drain(q, 1000*ms)
	q.Done(jobs["new"], Stuck, 60_000*ms, 1001*ms)
	q.Write("newer", 1, Order{}, 1002*ms)
	q.Same("new", false, true, 1003*ms)
	q.ObservedUpTo(1004 * ms)
	got, jobs := drain(q, 2000*ms)
	want(t, "with the content under a third name", got, "newer")
	q.Done(jobs["newer"], Stored, 0, 2001*ms)
	got, _ = drain(q, 2002*ms)
	want(t, "when that is stored", got, "old")
}

// A file takes a directory's place; what was in that is told to be written once more, though it
// is gone: the file goes on waiting for the deletion.
func TestFileWaitsForADeletionThatWasTakenBack(t *testing.T) {
	q := New(Rules{Quiet: 1, MaxStaleness: 10})
	q.Delete("p/y/z", true, 0)
	q.Write("p/y", 1, Order{}, 0)
	q.Write("p/y/z", 0, Order{Exists: true}, 1)
	for {
		j, ok := q.Next(20)
		if !ok {
			break
		}
		if j.Name == "p/y" {
			t.Fatal("the file goes while S3 holds what was in the directory")
		}
		q.Done(j, Changed, 40, 20) // it is not there
	}
	q.Delete("p/y/z", true, 21)
	q.ObservedUpTo(22)
	for _, want := range []Job{{Name: "p/y/z", Kind: Delete}, {Name: "p/y", Kind: Write}} {
		j, ok := q.Next(60)
		if !ok || j.Name != want.Name || j.Kind != want.Kind {
			t.Fatalf("next is %+v, %v; want %+v", j, ok, want)
		}
		q.Done(j, Stored, 0, 60)
	}
	if q.Len() != 0 {
		t.Errorf("%d are left", q.Len())
	}
}

// A file waits for the deletes below it. When they are gone, it waits for a delete above it, observed meanwhile.
func TestWriteWaitsForADeleteAboveAfterThoseBelow(t *testing.T) {
	q := New(rules)
	q.Delete("p/y/z", true, 1*ms)
	q.Write("p/y", 1, Order{}, 2*ms)
	got, _ := drain(q, 1000*ms)
	want(t, "below it", got)
	q.Delete("p", true, 1001*ms)
	q.Same("p/y/z", false, true, 1002*ms) // S3 never had it
	q.ObservedUpTo(1003 * ms)
	got, jobs := drain(q, 3000*ms)
	want(t, "above it", got, "p")
	q.Done(jobs["p"], Stored, 0, 3000*ms)
	got, _ = drain(q, 4000*ms)
	want(t, "at last", got, "p/y")
}

// A delete is refused, and so is the write of what takes the place, by a store that cannot hold both. Neither waits for
// the other for ever: when the delete is tried again, the write waits for it once more, and holds it no longer.
func TestRefusedWriteDoesNotHoldTheDeleteThatItWaitsFor(t *testing.T) {
	for _, c := range []struct{ gone, comes string }{{"p", "p/y"}, {"p/y", "p"}, {"p", "p/"}} {
		t.Run(c.gone+" "+c.comes, func(t *testing.T) {
			q := New(rules)
			q.Delete(c.gone, true, 1*ms)
			q.Write(c.comes, 1, Order{}, 2*ms)
			q.ObservedUpTo(3 * ms)
			got, jobs := drain(q, 1000*ms)
			want(t, "first", got, c.gone)
			q.Done(jobs[c.gone], Stuck, 2000*ms, 1000*ms)
			got, jobs = drain(q, 1001*ms)
			want(t, "when that was refused", got, c.comes)
			q.Done(jobs[c.comes], Stuck, 9000*ms, 1002*ms)
			got, jobs = drain(q, 2000*ms)
			if want(t, "again", got, c.gone); t.Failed() {
				return
			}
			q.Done(jobs[c.gone], Stored, 0, 2001*ms)
			got, _ = drain(q, 2002*ms)
			want(t, "at last", got, c.comes)
		})
	}
}

// The turn of a refused delete comes while the write of what takes its place is under way. When that has ended, the
// delete is untried, for a flush that asks before the next call of Next.
func TestRefusedDeleteIsUntriedWhenNothingHoldsItAnyMore(t *testing.T) {
	q := New(rules)
	q.Delete("p", true, 1*ms)
	q.Write("p/y", 1, Order{}, 2*ms)
	q.ObservedUpTo(3 * ms)
	_, first := drain(q, 1000*ms)
	q.Done(first["p"], Stuck, 2000*ms, 1000*ms)
	_, second := drain(q, 1001*ms)
	if q.Untried(1001 * ms) {
		t.Error("something is untried before its turn has come")
	}
	got, _ := drain(q, 2000*ms)
	want(t, "while the write is under way", got)
	if q.Untried(2000 * ms) {
		t.Error("what is held back is untried")
	}
	q.Done(second["p/y"], Stuck, 9000*ms, 2001*ms)
	if !q.Untried(2001 * ms) {
		t.Error("what nothing holds back any more is not untried")
	}
	got, jobs := drain(q, 2001*ms)
	want(t, "then", got, "p")
	q.Delete("p", false, 2002*ms) // it is waited for all the same
	got, _ = drain(q, 9001*ms)
	want(t, "while the delete is under way", got)
	q.Done(jobs["p"], Stored, 0, 9002*ms)
	q.Same("p", false, false, 9003*ms)
	got, _ = drain(q, 9003*ms)
	want(t, "at last", got, "p/y")
}

// A file is renamed to a name whose object is just being deleted: S3 may hold neither in a moment, so that its old name
// keeps its object, also where the deletion had been refused before, or where S3 never held an object of the new name.
func TestNameThatIsThereAgainHoldsDeletesWhileItsDeletionIsUnderWay(t *testing.T) {
	for _, c := range []struct {
		name   string
		before Outcome // of an earlier try of the deletion; 0: none
		exists bool
		after  Outcome // of the try under way
	}{
		{"refused before", Stuck, true, Stored},
		{"never stored", 0, false, Changed},
		{"refused before, never stored", Stuck, false, Changed},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := New(rules)
			q.Delete("new", true, 1*ms)
			q.ObservedUpTo(2 * ms)
			_, jobs := drain(q, 1000*ms)
			if c.before != 0 {
				q.Done(jobs["new"], c.before, 2000*ms, 1000*ms)
				_, jobs = drain(q, 2000*ms)
			}
			q.Write("new", 1, Order{Exists: c.exists, Anew: true}, 2001*ms)
			q.Delete("old", true, 2002*ms)
			q.ObservedUpTo(2003 * ms)
			got, _ := drain(q, 3000*ms)
			want(t, "while the deletion is under way", got)
			q.Done(jobs["new"], c.after, 3000*ms, 3000*ms)
			got, jobs = drain(q, 4000*ms)
			want(t, "then", got, "new")
			q.Done(jobs["new"], Stuck, 9000*ms, 4001*ms)
			got, _ = drain(q, 4002*ms)
			want(t, "when that cannot be stored", got)
		})
	}
}

// A file that was refused is tried once more, and gone by then: what takes its place waits until it is known what S3 holds.
func TestWriteWaitsForARefusedOneThatIsTriedOnceMoreAndGone(t *testing.T) {
	q := New(rules)
	q.Write("p/x", 1, Order{}, 1*ms)
	_, jobs := drain(q, 1000*ms)
	q.Done(jobs["p/x"], Stuck, 2000*ms, 1001*ms)
	drain(q, 2000*ms)
	q.Delete("p/x", true, 2001*ms)
	q.Write("p", 1, Order{}, 2002*ms)
	q.ObservedUpTo(2003 * ms)
	got, _ := drain(q, 4000*ms)
	want(t, "while it is tried", got)
}

// The deletion of a name was refused, and a file is renamed to that name: what was refused is not the write, which holds
// the deletion of its old name like any other.
func TestWriteOfANameWhoseDeletionWasRefusedHoldsDeletes(t *testing.T) {
	for _, underWay := range []bool{false, true} {
		q := New(rules)
		q.Delete("new", true, 1*ms)
		q.ObservedUpTo(2 * ms)
		_, jobs := drain(q, 1000*ms)
		if !underWay {
			q.Done(jobs["new"], Stuck, 9000*ms, 1001*ms)
		}
		q.Write("new", 1, Order{Exists: true, Anew: true}, 1002*ms)
		q.Delete("old", true, 1003*ms)
		q.ObservedUpTo(1004 * ms)
		if underWay {
			q.Done(jobs["new"], Stuck, 9000*ms, 1005*ms)
		}
		got, _ := drain(q, 3000*ms)
		want(t, "while the new name is not stored", got, "new")
	}
}

// A file is renamed to a name whose deletion is under way, and on from there: the deletion of its first name waits for
// the last one, also when the deletion under way is refused.
func TestSpanOfANameWhoseDeletionIsRefused(t *testing.T) {
	for _, o := range []Outcome{Stored, Retry, Stuck} {
		q := New(rules)
		q.Delete("between", true, 1*ms)
		q.ObservedUpTo(2 * ms)
		_, jobs := drain(q, 1000*ms)
		q.Write("between", 1, Order{Exists: true, Anew: true}, 1001*ms)
		q.Delete("first", true, 1002*ms)
		q.ObservedUpTo(1003 * ms)
		q.Write("last", 1, Order{}, 1004*ms)
		q.Delete("between", true, 1005*ms)
		q.ObservedUpTo(1006 * ms)
		q.Done(jobs["between"], o, 9000*ms, 1007*ms)
		got, jobs := drain(q, 3000*ms)
		want(t, "while the last name is not stored", got, "last")
		if q.Done(jobs["last"], Stored, 0, 3001*ms); t.Failed() {
			return
		}
		if got, _ = drain(q, 3002*ms); !slices.Contains(got, "first") {
			t.Errorf("then: %q", got)
		}
	}
}

// What could not be stored is tried again when it changes, and not when it is only seen again.
func TestStuckIsTriedAgainWhenItChanges(t *testing.T) {
	for _, anew := range []bool{true, false} {
		for _, flying := range []bool{true, false} {
			q := New(Rules{Quiet: 10, MaxStaleness: 100})
			q.Write("a", 1, Order{Anew: true}, 0)
			j, _ := q.Next(10)
			if flying {
				q.Write("a", 1, Order{Anew: anew}, 11)
			}
			q.Done(j, Stuck, 1000, 12)
			if !flying {
				q.Write("a", 1, Order{Anew: anew}, 13)
			}
			if _, again := q.Next(50); again != anew {
				t.Errorf("anew %v, under way %v: tried again %v", anew, flying, again)
			}
			if anew {
				continue
			}
			if _, again := q.Next(1000); !again {
				t.Error("it is never tried again")
			}
		}
	}
}

// A file that never rests is tried again when its time has come, however often it changes.
func TestUnstableKeepsItsPause(t *testing.T) {
	for _, flying := range []bool{true, false} {
		q := New(Rules{Quiet: 10, MaxStaleness: 100})
		q.Write("a", 1, Order{Anew: true}, 0)
		j, _ := q.Next(10)
		if flying {
			q.Write("a", 1, Order{Anew: true}, 11)
		}
		q.Done(j, Unstable, 1000, 12)
		for now := Time(13); now < 1000; now += 50 {
			q.Write("a", 1, Order{Anew: true}, now)
			if _, again := q.Next(now); again {
				t.Fatalf("under way %v: it is tried again at %d", flying, now)
			}
		}
		if _, again := q.Next(1100); !again {
			t.Error("it is never tried again")
		}
	}
}

// What could not be written is deleted at once when it goes.
func TestStuckIsDeletedWhenItGoes(t *testing.T) {
	for _, flying := range []bool{true, false} {
		q := New(Rules{Quiet: 10, MaxStaleness: 100})
		q.Write("a", 1, Order{Exists: true, Anew: true}, 0)
		j, _ := q.Next(10)
		if flying {
			q.Delete("a", true, 11)
		}
		q.Done(j, Stuck, 1000, 12)
		if !flying {
			q.Delete("a", true, 13)
		}
		q.ObservedUpTo(14)
		if d, ok := q.Next(50); !ok || d.Kind != Delete {
			t.Errorf("under way %v: it waits for the time of the write's next try", flying)
		}
	}
}

func TestRetryHolds(t *testing.T) {
	q := New(rules)
	q.Write("a", 1, Order{}, 0)
	q.Delete("gone", true, 1*ms)
	q.ObservedUpTo(2 * ms)
	_, jobs := drain(q, 1000*ms)
	q.Done(jobs["a"], Retry, 3000*ms, 1001*ms)
	got, _ := drain(q, 2999*ms)
	want(t, "while a is to be tried again", got)
	if at, ok := q.Wake(); !ok || at != 3000*ms {
		t.Errorf("wakes at %v, %v", at, ok)
	}
	got, _ = drain(q, 3000*ms)
	want(t, "then", got, "a")
}

// A commit's objects go before the branch that names them, but not for ever.
func TestReplacingGivesWay(t *testing.T) {
	q := New(rules)
	q.Write("objects/1", 1, Order{}, 0)
	q.Write("HEAD", 1, Order{Exists: true}, 1*ms)
	q.Write("growing", 1, Order{}, 400*ms)
	got, jobs := drain(q, 600*ms)
	want(t, "first", got, "objects/1")
	if at, ok := q.Wake(); !ok || at != 900*ms {
		t.Errorf("wakes at %v, %v", at, ok)
	}
	q.Done(jobs["objects/1"], Stored, 0, 650*ms)
	got, _ = drain(q, 660*ms)
	want(t, "then, beside what is not due", got, "HEAD")

	q = New(rules)
	q.Write("huge", 1, Order{}, 0)
	q.Write("HEAD", 1, Order{Exists: true}, 1*ms)
	got, _ = drain(q, 5000*ms)
	want(t, "beside a long upload", got, "huge")
	if at, ok := q.Wake(); !ok || at != 5001*ms {
		t.Errorf("wakes at %v, %v", at, ok)
	}
	got, _ = drain(q, 5001*ms)
	want(t, "after the longest staleness", got, "HEAD")
}

func TestGroup(t *testing.T) {
	q := New(rules)
	q.Write("objects/1", 1, Order{Group: "g"}, 0)
	q.Write("other", 1, Order{}, 0)
	mark := q.Mark()
	q.Write("objects/2", 1, Order{Group: "g"}, 0)
	if q.GroupThrough("g", mark) || !q.GroupThrough("h", mark) {
		t.Error("before")
	}
	_, jobs := drain(q, 1000*ms)
	q.Write("objects/1", 1, Order{Group: "g"}, 1001*ms)
	q.Done(jobs["objects/1"], Stored, 0, 1002*ms)
	if !q.GroupThrough("g", mark) || q.GroupThrough("g", q.Mark()) {
		t.Error("with the first in S3, and written again since")
	}
	q.Done(jobs["objects/2"], Stuck, 9000*ms, 1003*ms)
	_, jobs = drain(q, 7000*ms)
	q.Done(jobs["objects/1"], Stored, 0, 7001*ms)
	if !q.GroupThrough("g", q.Mark()) || len(q.groups) != 0 {
		t.Error("with the second stuck")
	}
	q.Write("objects/3", 1, Order{Group: "g"}, 8000*ms)
	q.Same("objects/3", false, true, 8001*ms)
	if !q.GroupThrough("g", q.Mark()) {
		t.Error("with the third gone")
	}
}

// A repack puts an object, which is not in S3 yet, into a pack and removes it: what names the
// object waits for the pack.
func TestGroupWhoseMemberVanishes(t *testing.T) {
	q := New(rules)
	q.Write("objects/1", 1, Order{Group: "g"}, 0)
	mark := q.Mark()
	q.Write("pack", 1, Order{Group: "g"}, 1*ms)
	q.Same("objects/1", false, true, 2*ms)
	q.Write("objects/2", 1, Order{Group: "g"}, 3*ms)
	if q.GroupThrough("g", mark) {
		t.Error("with the pack pending")
	}
	_, jobs := drain(q, 1000*ms)
	q.Done(jobs["pack"], Stored, 0, 1001*ms)
	if !q.GroupThrough("g", mark) {
		t.Error("with the pack in S3")
	}
	q.Done(jobs["objects/2"], Stored, 0, 1002*ms)

	// It is seen to be missing before the pack is seen.
	q.Write("objects/3", 1, Order{Group: "g"}, 2000*ms)
	mark = q.Mark()
	q.Same("objects/3", false, false, 2001*ms)
	if q.GroupThrough("g", mark) {
		t.Error("with a pack that is still to be seen")
	}
	q.Write("pack", 1, Order{Exists: true, Group: "g"}, 2002*ms)
	q.ObservedUpTo(2003 * ms)
	if q.GroupThrough("g", mark) {
		t.Error("with the second pack pending")
	}
	_, jobs = drain(q, 9000*ms)
	q.Done(jobs["pack"], Stored, 0, 9001*ms)
	if !q.GroupThrough("g", mark) {
		t.Error("with the second pack in S3")
	}
	q.ObservedUpTo(9002 * ms)
	if len(q.gone) != 0 {
		t.Errorf("spans are left: %v", q.gone)
	}
}

// What was in a new directory may have gone elsewhere before the directory was watched.
func TestUnseen(t *testing.T) {
	q := New(rules)
	q.Delete("a", true, 0) // it was moved to new/x
	q.Unseen("g", 1*ms)    // new is watched, and x was moved on to z
	mark := q.Mark()
	if q.GroupThrough("g", mark) || !q.Unobserved() {
		t.Error("with what became of it still to be seen")
	}
	q.ObservedUpTo(1 * ms)
	q.Write("z", 1, Order{Group: "g"}, 2*ms)
	q.ObservedUpTo(3 * ms)
	got, jobs := drain(q, 1000*ms)
	want(t, "before the deletion", got, "z")
	if q.GroupThrough("g", mark) {
		t.Error("with z pending")
	}
	q.Done(jobs["z"], Stored, 0, 1001*ms)
	got, _ = drain(q, 1002*ms)
	want(t, "then", got, "a")
	if !q.GroupThrough("g", mark) || q.Unobserved() {
		t.Error("with z in S3")
	}
}

func TestFileAndDirectoryChangePlaces(t *testing.T) {
	q := New(rules)
	q.Delete("p", true, 0)
	q.Write("p/x", 1, Order{}, 1*ms)
	q.ObservedUpTo(2 * ms)
	got, jobs := drain(q, 1000*ms)
	want(t, "a directory where a file was", got, "p")
	q.Done(jobs["p"], Stored, 0, 1001*ms)
	got, jobs = drain(q, 1002*ms)
	want(t, "then", got, "p/x")
	q.Done(jobs["p/x"], Stored, 0, 1003*ms)

	q.Delete("p/x", true, 2000*ms)
	q.Delete("p/", true, 2001*ms)
	q.Write("p", 1, Order{}, 2002*ms)
	q.ObservedUpTo(2003 * ms)
	got, jobs = drain(q, 3000*ms)
	want(t, "a file where a directory was", got, "p/x", "p/")
	q.Done(jobs["p/x"], Stored, 0, 3001*ms)
	got, _ = drain(q, 3002*ms)
	want(t, "with the marker still there", got)
	q.Done(jobs["p/"], Stored, 0, 3003*ms)
	got, _ = drain(q, 3004*ms)
	want(t, "then", got, "p")
}

func TestHurryAndHold(t *testing.T) {
	q := New(rules)
	q.Write("a", 5, Order{}, 0)
	q.Delete("b", true, 0)
	q.ObservedUpTo(1)
	mark := q.Mark()
	q.HoldDeletes(true)
	q.Hurry(true)
	got, jobs := drain(q, 1)
	want(t, "in a hurry, deletes held", got, "a")
	if q.Through(mark) || q.Bytes() != 5 || q.InFlight() != 1 {
		t.Errorf("through %v, %d bytes, %d in flight", q.Through(mark), q.Bytes(), q.InFlight())
	}
	q.Done(jobs["a"], Stored, 0, 2)
	if since, ok := q.Oldest(); !ok || since != 0 {
		t.Errorf("oldest %v, %v", since, ok)
	}
	q.HoldDeletes(false)
	got, jobs = drain(q, 3)
	want(t, "released", got, "b")
	q.Done(jobs["b"], Stored, 0, 4)
	if !q.Through(mark) || q.Len() != 0 {
		t.Errorf("through %v, %d pending", q.Through(mark), q.Len())
	}
}

func BenchmarkWriteAndStore(b *testing.B) {
	q := New(rules)
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("some/directory/%03d/file-%06d", i%500, i)
	}
	for b.Loop() {
		for i, n := range names {
			q.Write(n, 1, Order{}, Time(i))
		}
		for {
			j, ok := q.Next(time.Hour)
			if !ok {
				break
			}
			q.Done(j, Stored, 0, time.Hour)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(names)), "ns/name")
}

// A file that is in the way of two writes goes before what is in the way of one of them only:
// the other has to be in S3 before that goes.
func TestRoomForTheOthersFirst(t *testing.T) {
	q := New(rules)
	q.Delete("p/y/z", false, 1*ms)
	q.Delete("p", false, 2*ms)
	q.Write("p/y", 1, Order{}, 3*ms) // waits for p and for p/y/z
	q.Write("p/x", 1, Order{}, 4*ms) // waits for p
	q.ObservedUpTo(7 * ms)
	got, jobs := drain(q, 1000*ms)
	want(t, "first", got, "p")
	q.Done(jobs["p"], Stored, 0, 1001*ms)
	got, jobs = drain(q, 1002*ms)
	want(t, "then", got, "p/x")
	q.Done(jobs["p/x"], Stored, 0, 1003*ms)
	got, jobs = drain(q, 1004*ms)
	want(t, "then", got, "p/y/z")
	q.Done(jobs["p/y/z"], Stored, 0, 1005*ms)
	got, _ = drain(q, 1006*ms)
	want(t, "then", got, "p/y")
}

// A scan saw the name gone, and the job that was under way found it there again: where it goes
// from there is to be seen before its deletion may go.
func TestGoneBeforeTheJobLooked(t *testing.T) {
	q := New(rules)
	q.Write("b", 1, Order{}, 0)
	_, jobs := drain(q, 1000*ms)
	q.Delete("b", false, 1001*ms)
	q.Done(jobs["b"], Stored, 0, 1002*ms)
	q.ObservedUpTo(1003 * ms) // a scan that began here, and in which b was not looked at yet
	got, _ := drain(q, 2000*ms)
	want(t, "before it was seen gone again", got)
	if !q.Unobserved() {
		t.Error("nothing is said to be unobserved")
	}
	q.Write("c", 1, Order{}, 2001*ms)
	q.Rechecked("b", 2001*ms)
	q.ObservedUpTo(2002 * ms)
	got, jobs = drain(q, 3000*ms)
	want(t, "what it was renamed to", got, "c")
	q.Done(jobs["c"], Stored, 0, 3001*ms)
	got, _ = drain(q, 3002*ms)
	want(t, "with that in S3", got, "b")
}

// A deletion is tried, and no answer says that it did not arrive: what is written to its name then may be the only copy, also
// when the caller still takes the older version for stored.
func TestStuckWriteAfterAnUnansweredDeletionHoldsDeletes(t *testing.T) {
	for _, deletion := range []Outcome{Retry, Stuck, Changed} {
		for _, write := range []Outcome{Stuck, Unstable} {
			for _, underWay := range []bool{false, true} {
				q := New(rules)
				q.Delete("new", true, 1*ms)
				q.ObservedUpTo(2 * ms)
				_, jobs := drain(q, 1000*ms)
				if !underWay {
					q.Done(jobs["new"], deletion, 1001*ms, 1001*ms)
				}
				q.Write("new", 1, Order{Exists: true, Anew: true}, 1002*ms)
				q.Delete("old", true, 1003*ms)
				q.ObservedUpTo(1004 * ms)
				if underWay {
					q.Done(jobs["new"], deletion, 1005*ms, 1005*ms)
				}
				_, jobs = drain(q, 3000*ms)
				q.Done(jobs["new"], write, 9000*ms, 3001*ms)
				got, _ := drain(q, 4000*ms)
				if deletion == Changed { // it was not sent: the file was there
					want(t, "while the older version is in S3", got, "old")
					continue
				}
				want(t, fmt.Sprintf("after outcome %d of the deletion and %d of the write, under way %v", deletion, write, underWay), got)
				_, jobs = drain(q, 9000*ms)
				q.Done(jobs["new"], Stored, 0, 9001*ms)
				if got, _ = drain(q, 9002*ms); !slices.Equal(got, []string{"old"}) {
					t.Errorf("when it is stored: %q", got)
				}
			}
		}
	}
}

// As above, where a process before this one sent the deletion.
func TestStuckWriteOfWhatMayBeGoneHoldsDeletes(t *testing.T) {
	for _, maybeGone := range []bool{false, true} {
		q := New(rules)
		q.Write("new", 1, Order{Exists: true, MaybeGone: maybeGone}, 1*ms)
		q.Delete("old", true, 2*ms)
		q.ObservedUpTo(3 * ms)
		_, jobs := drain(q, 1000*ms)
		q.Done(jobs["new"], Stuck, 9000*ms, 1001*ms)
		if got, _ := drain(q, 2000*ms); (len(got) == 0) != maybeGone {
			t.Errorf("deleted %q, where the older version may be gone: %v", got, maybeGone)
		}
	}
}

// A deletion was refused, so that the write that waited for it is under way while S3 holds both names. The deleted name is made
// anew then: it waits until the other one is deleted, which holds it back like any deletion.
func TestNameMadeAnewWaitsForTheWriteUnderWayThatExcludesIt(t *testing.T) {
	for _, write := range []Outcome{Stored, Retry, Stuck} {
		q := New(rules)
		q.Delete("p/x", true, 1*ms)
		q.Write("p", 1, Order{}, 2*ms)
		q.ObservedUpTo(3 * ms)
		got, jobs := drain(q, 1000*ms)
		want(t, "first", got, "p/x")
		q.Done(jobs["p/x"], Stuck, 90000*ms, 1001*ms)
		got, jobs = drain(q, 1002*ms)
		want(t, "when the deletion is refused", got, "p")
		q.Delete("p", true, 1003*ms)
		q.Write("p/x", 1, Order{Exists: true, Anew: true}, 1004*ms)
		q.ObservedUpTo(1005 * ms)
		got, _ = drain(q, 2000*ms)
		want(t, "while the write is under way", got)
		q.Done(jobs["p"], write, 2001*ms, 2001*ms)
		q.ObservedUpTo(2002 * ms)
		got, jobs = drain(q, 3000*ms)
		want(t, "when it has ended", got, "p")
		q.Done(jobs["p"], Stored, 0, 3001*ms)
		got, _ = drain(q, 3002*ms)
		want(t, "when that is deleted", got, "p/x")
	}
}

// A deletion was refused, and when it is tried once more no answer comes. A write that became due meanwhile waits for it again.
func TestDueWriteWaitsForADeletionThatIsExpectedAgain(t *testing.T) {
	q := New(rules)
	q.Delete("p", true, 1*ms)
	q.ObservedUpTo(2 * ms)
	_, jobs := drain(q, 1000*ms)
	q.Done(jobs["p"], Stuck, 2200*ms, 1001*ms)
	q.Write("other", 1, Order{}, 1500*ms)
	q.Write("p/x", 1, Order{}, 1501*ms)
	for i, next := range []string{"other", "p"} {
		j, _ := q.Next(2100*ms + Time(i)*200*ms)
		if jobs[j.Name] = j; j.Name != next {
			t.Fatalf("%q instead of %q", j.Name, next)
		}
	}
	q.Done(jobs["p"], Retry, 3000*ms, 2301*ms)
	got, _ := drain(q, 2302*ms)
	want(t, "while the deletion is expected", got)
	got, jobs = drain(q, 3500*ms)
	want(t, "when its time has come", got, "p")
	q.Done(jobs["p"], Stored, 0, 3501*ms)
	got, _ = drain(q, 3502*ms)
	want(t, "when it has arrived", got, "p/x")
}
