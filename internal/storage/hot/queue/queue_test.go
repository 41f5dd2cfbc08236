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
func drain(l *Line, now Time) (names []string, jobs map[string]Job) {
	jobs = map[string]Job{}
	for {
		j, ok := l.Next(now)
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

func TestQuietAndStaleness(t *testing.T) {
	l := New(rules)
	l.Write("quiet", 1, Order{}, 0)
	for at := Time(0); at < 6000*ms; at += 100 * ms {
		l.Write("busy", 1, Order{}, at)
		got, _ := drain(l, at)
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
	l := New(rules)
	for i := range 100 {
		l.Write(fmt.Sprintf("f%02d", (i*37)%100), 1, Order{Exists: i%2 == 0}, Time(i)*ms)
	}
	got, _ := drain(l, 10_000*ms)
	for i, name := range got {
		if name != fmt.Sprintf("f%02d", (i*37)%100) {
			t.Fatalf("at %d comes %s: %q", i, name, got)
		}
	}
}

// git repack: the objects may go from S3 only when the pack is there.
func TestDeleteWaitsForWhatWasWrittenBefore(t *testing.T) {
	l := New(rules)
	l.Write("pack", 1, Order{}, 0)
	l.Delete("loose", true, 1*ms)
	l.Caught(2 * ms)
	l.Write("later", 1, Order{}, 3*ms)
	got, jobs := drain(l, 1000*ms)
	want(t, "first", got, "pack", "later")
	l.Done(jobs["later"], Stored, 0, 1001*ms)
	got, _ = drain(l, 1002*ms)
	want(t, "while the pack is under way", got)
	l.Done(jobs["pack"], Stored, 0, 1003*ms)
	got, _ = drain(l, 1004*ms)
	want(t, "with the pack in S3", got, "loose")
}

// A second repack removes the pack of the first one before that is in S3.
func TestDeleteWaitsForWhatTookTheWritesPlace(t *testing.T) {
	l := New(rules)
	l.Write("pack1", 1, Order{}, 0)
	l.Delete("loose", true, 1*ms)
	l.Caught(2 * ms)
	l.Write("pack2", 1, Order{}, 3*ms)
	l.Same("pack1", false, true, 4*ms)
	l.Caught(5 * ms)
	got, jobs := drain(l, 1000*ms)
	want(t, "first", got, "pack2")
	l.Done(jobs["pack2"], Stored, 0, 1001*ms)
	got, _ = drain(l, 1002*ms)
	want(t, "then", got, "loose")
}

func TestNoDeleteBeforeCaught(t *testing.T) {
	l := New(rules)
	l.Delete("a", true, 10*ms)
	l.Caught(10 * ms) // not beyond it
	got, _ := drain(l, 1000*ms)
	want(t, "not caught up", got)
	l.Caught(11 * ms)
	got, _ = drain(l, 1000*ms)
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
		l := New(rules)
		l.Write(c.name, 1, Order{Exists: c.exists}, 0)
		l.Delete("gone", true, 1*ms)
		l.Caught(2 * ms)
		_, jobs := drain(l, 1000*ms)
		l.Done(jobs[c.name], Stuck, 60_000*ms, 1001*ms)
		l.Write("other", 1, Order{}, 1001*ms)
		wanted, held := []string{"other"}, 1
		if c.goes {
			wanted, held = []string{"gone", "other"}, 0
		}
		if l.Held() != held || l.Barred("gone") != !c.goes {
			t.Errorf("%s: %d held, barred %v", c.name, l.Held(), l.Barred("gone"))
		}
		got, others := drain(l, 2000*ms)
		want(t, "beside "+c.name+", which is stuck", got, wanted...)
		for _, j := range others {
			l.Done(j, Stored, 0, 2001*ms)
		}
		if l.StuckLen() != 1 || l.Len() != 1+held {
			t.Errorf("%s: stuck %d, pending %d", c.name, l.StuckLen(), l.Len())
		}
		_, jobs = drain(l, 60_001*ms)
		l.Done(jobs[c.name], Stored, 0, 60_001*ms)
		if !c.goes {
			got, _ = drain(l, 60_002*ms)
			want(t, "when it is stored", got, "gone")
		}
	}
}

// What could not be stored and is gone goes on counting as what took its place.
func TestStuckThatVanishedLeavesASpan(t *testing.T) {
	l := New(rules)
	l.Write("new", 1, Order{}, 0)
	l.Delete("old", true, 1*ms)
	l.Caught(2 * ms)
	_, jobs := drain(l, 1000*ms)
	l.Done(jobs["new"], Stuck, 60_000*ms, 1001*ms)
	l.Write("newer", 1, Order{}, 1002*ms)
	l.Same("new", false, true, 1003*ms)
	l.Caught(1004 * ms)
	got, jobs := drain(l, 2000*ms)
	want(t, "with the content under a third name", got, "newer")
	l.Done(jobs["newer"], Stored, 0, 2001*ms)
	got, _ = drain(l, 2002*ms)
	want(t, "when that is stored", got, "old")
}

// A file takes a directory's place; what was in that is told to be written once more, though it
// is gone: the file goes on waiting for the deletion.
func TestFileWaitsForADeletionThatWasTakenBack(t *testing.T) {
	l := New(Rules{Quiet: 1, MaxStaleness: 10})
	l.Delete("p/y/z", true, 0)
	l.Write("p/y", 1, Order{}, 0)
	l.Write("p/y/z", 0, Order{Exists: true}, 1)
	for {
		j, ok := l.Next(20)
		if !ok {
			break
		}
		if j.Name == "p/y" {
			t.Fatal("the file goes while S3 holds what was in the directory")
		}
		l.Done(j, Changed, 40, 20) // it is not there
	}
	l.Delete("p/y/z", true, 21)
	l.Caught(22)
	for _, want := range []Job{{Name: "p/y/z", Kind: Delete}, {Name: "p/y", Kind: Write}} {
		j, ok := l.Next(60)
		if !ok || j.Name != want.Name || j.Kind != want.Kind {
			t.Fatalf("next is %+v, %v; want %+v", j, ok, want)
		}
		l.Done(j, Stored, 0, 60)
	}
	if l.Len() != 0 {
		t.Errorf("%d are left", l.Len())
	}
}

// What could not be stored is tried again when it changes, and not when it is only seen again.
func TestStuckIsTriedAgainWhenItChanges(t *testing.T) {
	for _, anew := range []bool{true, false} {
		for _, flying := range []bool{true, false} {
			l := New(Rules{Quiet: 10, MaxStaleness: 100})
			l.Write("a", 1, Order{Anew: true}, 0)
			j, _ := l.Next(10)
			if flying {
				l.Write("a", 1, Order{Anew: anew}, 11)
			}
			l.Done(j, Stuck, 1000, 12)
			if !flying {
				l.Write("a", 1, Order{Anew: anew}, 13)
			}
			if _, again := l.Next(50); again != anew {
				t.Errorf("anew %v, under way %v: tried again %v", anew, flying, again)
			}
			if anew {
				continue
			}
			if _, again := l.Next(1000); !again {
				t.Error("it is never tried again")
			}
		}
	}
}

// What could not be written is deleted at once when it goes.
func TestStuckIsDeletedWhenItGoes(t *testing.T) {
	for _, flying := range []bool{true, false} {
		l := New(Rules{Quiet: 10, MaxStaleness: 100})
		l.Write("a", 1, Order{Exists: true, Anew: true}, 0)
		j, _ := l.Next(10)
		if flying {
			l.Delete("a", true, 11)
		}
		l.Done(j, Stuck, 1000, 12)
		if !flying {
			l.Delete("a", true, 13)
		}
		l.Caught(14)
		if d, ok := l.Next(50); !ok || d.Kind != Delete {
			t.Errorf("under way %v: it waits for the time of the write's next try", flying)
		}
	}
}

func TestRetryHolds(t *testing.T) {
	l := New(rules)
	l.Write("a", 1, Order{}, 0)
	l.Delete("gone", true, 1*ms)
	l.Caught(2 * ms)
	_, jobs := drain(l, 1000*ms)
	l.Done(jobs["a"], Retry, 3000*ms, 1001*ms)
	got, _ := drain(l, 2999*ms)
	want(t, "while a is to be tried again", got)
	if at, ok := l.Wake(); !ok || at != 3000*ms {
		t.Errorf("wakes at %v, %v", at, ok)
	}
	got, _ = drain(l, 3000*ms)
	want(t, "then", got, "a")
}

// A commit's objects go before the branch that names them, but not for ever.
func TestReplacingGivesWay(t *testing.T) {
	l := New(rules)
	l.Write("objects/1", 1, Order{}, 0)
	l.Write("HEAD", 1, Order{Exists: true}, 1*ms)
	l.Write("growing", 1, Order{}, 400*ms)
	got, jobs := drain(l, 600*ms)
	want(t, "first", got, "objects/1")
	if at, ok := l.Wake(); !ok || at != 900*ms {
		t.Errorf("wakes at %v, %v", at, ok)
	}
	l.Done(jobs["objects/1"], Stored, 0, 650*ms)
	got, _ = drain(l, 660*ms)
	want(t, "then, beside what is not due", got, "HEAD")

	l = New(rules)
	l.Write("huge", 1, Order{}, 0)
	l.Write("HEAD", 1, Order{Exists: true}, 1*ms)
	got, _ = drain(l, 5000*ms)
	want(t, "beside a long upload", got, "huge")
	if at, ok := l.Wake(); !ok || at != 5001*ms {
		t.Errorf("wakes at %v, %v", at, ok)
	}
	got, _ = drain(l, 5001*ms)
	want(t, "after the longest staleness", got, "HEAD")
}

func TestGroup(t *testing.T) {
	l := New(rules)
	l.Write("objects/1", 1, Order{Group: "g"}, 0)
	l.Write("other", 1, Order{}, 0)
	mark := l.Mark()
	l.Write("objects/2", 1, Order{Group: "g"}, 0)
	if l.GroupThrough("g", mark) || !l.GroupThrough("h", mark) {
		t.Error("before")
	}
	_, jobs := drain(l, 1000*ms)
	l.Write("objects/1", 1, Order{Group: "g"}, 1001*ms)
	l.Done(jobs["objects/1"], Stored, 0, 1002*ms)
	if !l.GroupThrough("g", mark) || l.GroupThrough("g", l.Mark()) {
		t.Error("with the first in S3, and written again since")
	}
	l.Done(jobs["objects/2"], Stuck, 9000*ms, 1003*ms)
	_, jobs = drain(l, 7000*ms)
	l.Done(jobs["objects/1"], Stored, 0, 7001*ms)
	if !l.GroupThrough("g", l.Mark()) || len(l.groups) != 0 {
		t.Error("with the second stuck")
	}
	l.Write("objects/3", 1, Order{Group: "g"}, 8000*ms)
	l.Same("objects/3", false, true, 8001*ms)
	if !l.GroupThrough("g", l.Mark()) {
		t.Error("with the third gone")
	}
}

// A repack puts an object, which is not in S3 yet, into a pack and removes it: what names the
// object waits for the pack.
func TestGroupWhoseMemberVanishes(t *testing.T) {
	l := New(rules)
	l.Write("objects/1", 1, Order{Group: "g"}, 0)
	mark := l.Mark()
	l.Write("pack", 1, Order{Group: "g"}, 1*ms)
	l.Same("objects/1", false, true, 2*ms)
	l.Write("objects/2", 1, Order{Group: "g"}, 3*ms)
	if l.GroupThrough("g", mark) {
		t.Error("with the pack pending")
	}
	_, jobs := drain(l, 1000*ms)
	l.Done(jobs["pack"], Stored, 0, 1001*ms)
	if !l.GroupThrough("g", mark) {
		t.Error("with the pack in S3")
	}
	l.Done(jobs["objects/2"], Stored, 0, 1002*ms)

	// It is seen to be missing before the pack is seen.
	l.Write("objects/3", 1, Order{Group: "g"}, 2000*ms)
	mark = l.Mark()
	l.Same("objects/3", false, false, 2001*ms)
	if l.GroupThrough("g", mark) {
		t.Error("with a pack that is still to be seen")
	}
	l.Write("pack", 1, Order{Exists: true, Group: "g"}, 2002*ms)
	l.Caught(2003 * ms)
	if l.GroupThrough("g", mark) {
		t.Error("with the second pack pending")
	}
	_, jobs = drain(l, 9000*ms)
	l.Done(jobs["pack"], Stored, 0, 9001*ms)
	if !l.GroupThrough("g", mark) {
		t.Error("with the second pack in S3")
	}
	l.Caught(9002 * ms)
	if len(l.gone) != 0 {
		t.Errorf("spans are left: %v", l.gone)
	}
}

// What was in a new directory may have gone elsewhere before the directory was watched.
func TestUnseen(t *testing.T) {
	l := New(rules)
	l.Delete("a", true, 0) // it was moved to new/x
	l.Unseen("g", 1*ms)    // new is watched, and x was moved on to z
	mark := l.Mark()
	if l.GroupThrough("g", mark) || !l.Unobserved() {
		t.Error("with what became of it still to be seen")
	}
	l.Caught(1 * ms)
	l.Write("z", 1, Order{Group: "g"}, 2*ms)
	l.Caught(3 * ms)
	got, jobs := drain(l, 1000*ms)
	want(t, "before the deletion", got, "z")
	if l.GroupThrough("g", mark) {
		t.Error("with z pending")
	}
	l.Done(jobs["z"], Stored, 0, 1001*ms)
	got, _ = drain(l, 1002*ms)
	want(t, "then", got, "a")
	if !l.GroupThrough("g", mark) || l.Unobserved() {
		t.Error("with z in S3")
	}
}

func TestFileAndDirectoryChangePlaces(t *testing.T) {
	l := New(rules)
	l.Delete("p", true, 0)
	l.Write("p/x", 1, Order{}, 1*ms)
	l.Caught(2 * ms)
	got, jobs := drain(l, 1000*ms)
	want(t, "a directory where a file was", got, "p")
	l.Done(jobs["p"], Stored, 0, 1001*ms)
	got, jobs = drain(l, 1002*ms)
	want(t, "then", got, "p/x")
	l.Done(jobs["p/x"], Stored, 0, 1003*ms)

	l.Delete("p/x", true, 2000*ms)
	l.Delete("p/", true, 2001*ms)
	l.Write("p", 1, Order{}, 2002*ms)
	l.Caught(2003 * ms)
	got, jobs = drain(l, 3000*ms)
	want(t, "a file where a directory was", got, "p/x", "p/")
	l.Done(jobs["p/x"], Stored, 0, 3001*ms)
	got, _ = drain(l, 3002*ms)
	want(t, "with the marker still there", got)
	l.Done(jobs["p/"], Stored, 0, 3003*ms)
	got, _ = drain(l, 3004*ms)
	want(t, "then", got, "p")
}

func TestHurryAndHold(t *testing.T) {
	l := New(rules)
	l.Write("a", 5, Order{}, 0)
	l.Delete("b", true, 0)
	l.Caught(1)
	mark := l.Mark()
	l.HoldDeletes(true)
	l.Hurry(true)
	got, jobs := drain(l, 1)
	want(t, "in a hurry, deletes held", got, "a")
	if l.Through(mark) || l.Bytes() != 5 || l.InFlight() != 1 {
		t.Errorf("through %v, %d bytes, %d in flight", l.Through(mark), l.Bytes(), l.InFlight())
	}
	l.Done(jobs["a"], Stored, 0, 2)
	if since, ok := l.Oldest(); !ok || since != 0 {
		t.Errorf("oldest %v, %v", since, ok)
	}
	l.HoldDeletes(false)
	got, jobs = drain(l, 3)
	want(t, "released", got, "b")
	l.Done(jobs["b"], Stored, 0, 4)
	if !l.Through(mark) || l.Len() != 0 {
		t.Errorf("through %v, %d pending", l.Through(mark), l.Len())
	}
}

func BenchmarkWriteAndStore(b *testing.B) {
	l := New(rules)
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("some/directory/%03d/file-%06d", i%500, i)
	}
	for b.Loop() {
		for i, n := range names {
			l.Write(n, 1, Order{}, Time(i))
		}
		for {
			j, ok := l.Next(time.Hour)
			if !ok {
				break
			}
			l.Done(j, Stored, 0, time.Hour)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(names)), "ns/name")
}

// A file that is in the way of two writes goes before what is in the way of one of them only:
// the other has to be in S3 before that goes.
func TestRoomForTheOthersFirst(t *testing.T) {
	l := New(rules)
	l.Delete("p/y/z", false, 1*ms)
	l.Delete("p", false, 2*ms)
	l.Write("p/y", 1, Order{}, 3*ms) // waits for p and for p/y/z
	l.Write("p/x", 1, Order{}, 4*ms) // waits for p
	l.Caught(7 * ms)
	got, jobs := drain(l, 1000*ms)
	want(t, "first", got, "p")
	l.Done(jobs["p"], Stored, 0, 1001*ms)
	got, jobs = drain(l, 1002*ms)
	want(t, "then", got, "p/x")
	l.Done(jobs["p/x"], Stored, 0, 1003*ms)
	got, jobs = drain(l, 1004*ms)
	want(t, "then", got, "p/y/z")
	l.Done(jobs["p/y/z"], Stored, 0, 1005*ms)
	got, _ = drain(l, 1006*ms)
	want(t, "then", got, "p/y")
}

// A scan saw the name gone, and the job that was under way found it there again: where it goes
// from there is to be seen before its deletion may go.
func TestGoneBeforeTheJobLooked(t *testing.T) {
	l := New(rules)
	l.Write("b", 1, Order{}, 0)
	_, jobs := drain(l, 1000*ms)
	l.Delete("b", false, 1001*ms)
	l.Done(jobs["b"], Stored, 0, 1002*ms)
	l.Caught(1003 * ms) // a scan that began here, and in which nobody has looked at b yet
	got, _ := drain(l, 2000*ms)
	want(t, "before it was seen gone again", got)
	if !l.Unobserved() {
		t.Error("nothing is said to be unobserved")
	}
	l.Write("c", 1, Order{}, 2001*ms)
	l.Looked("b", 2001*ms)
	l.Caught(2002 * ms)
	got, jobs = drain(l, 3000*ms)
	want(t, "what it was renamed to", got, "c")
	l.Done(jobs["c"], Stored, 0, 3001*ms)
	got, _ = drain(l, 3002*ms)
	want(t, "with that in S3", got, "b")
}
