package hot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/hot/conflict"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// S3 goes away and comes back: everything arrives that happened meanwhile.
func TestAwayAndBack(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.write("b", "one")
	s.saved()
	s.proxy.Away()
	s.write("a", "two")
	s.remove("b")
	for i := range 100 {
		s.write(fmt.Sprintf("new/f%d", i), "x")
	}
	s.eventually("the changes are seen", func() bool { st := s.e.Status(); return st.DirtyFiles >= 100 && st.Staleness > 300*time.Millisecond })
	if st := s.e.Status(); st.State != "syncing" && st.State != "failed" {
		t.Errorf("the state is %s", st.State)
	}
	s.proxy.Back()
	s.saved()
	s.want("a", "two")
	s.wantNone("b")
	if n := len(s.keys()); n != 101 {
		t.Errorf("%d keys", n)
	}
	if st := s.e.Status(); st.State != "synced" || st.Problem != "" || st.Staleness != 0 {
		t.Errorf("status %+v", st)
	}
}

// That S3 is away is said long before the requests that are under way give up.
func TestAwayIsSaid(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.saved()
	s.proxy.Away()
	s.write("a", "two")
	s.eventually("it is said, however much goes on", func() bool {
		s.e.wake()
		st := s.e.Status()
		s.e.mu.Lock()
		defer s.e.mu.Unlock()
		return st.State == "failed" && st.Problem != "" && slices.Contains(s.problems, st.Problem)
	})
	s.proxy.Back()
	s.saved()
	if st := s.e.Status(); st.State != "synced" || st.Problem != "" {
		t.Errorf("status %+v", st)
	}
}

// S3 is away during the flush: it ends in time and names what is missing.
func TestAwayDuringTheFlush(t *testing.T) {
	s := newSandbox(t).start()
	s.write("kept", "x")
	s.write("deleted", "x")
	s.saved()
	s.proxy.Away()
	s.write("dir/a", "x")
	s.write("kept", "changed")
	s.remove("deleted")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	f, err := s.e.Flush(ctx)
	check(t, err)
	var names []string
	for _, u := range f.Unsaved {
		names = append(names, u.Path)
	}
	want := "[deleted dir/a kept]"
	if fmt.Sprint(names) != want || f.UnsavedCount != 3 || f.Reason == "" {
		t.Errorf("not saved: %+v, want %s", f, want)
	}
	b, err := os.ReadFile(filepath.Join(s.cfg.StateDir, contract.UnsavedFileName))
	check(t, err)
	var list contract.UnsavedList
	check(t, json.Unmarshal(b, &list))
	if len(list.Files) != 3 || list.SandboxID != "sb" {
		t.Errorf("the list: %s", b)
	}
	// A restart of the same container saves them, and the list goes.
	s.kill()
	s.proxy.Back()
	s.start()
	s.flushed()
	s.want("kept", "changed")
	s.want("dir/a", "x")
	s.wantNone("deleted")
	if _, err := os.Stat(filepath.Join(s.cfg.StateDir, contract.UnsavedFileName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the list is still there: %v", err)
	}
}

// One key may not be written: it is reported, and holds back nothing but the deletions after it,
// and those only while S3 has no version of it.
func TestDeniedKey(t *testing.T) {
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprintf("stored before: %v", stored), func(t *testing.T) {
			s := newSandbox(t).start()
			s.write("gone", "x")
			if stored {
				s.write("denied", "old")
			}
			s.saved()
			denied := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/denied"}, Do: testbed.Refuse(403, "AccessDenied")})
			s.write("denied", "x")
			check(t, s.e.obs.catchUp(s.ctx(), false))
			s.write("other", "x")
			s.remove("gone")
			s.eventually("the rest arrives", func() bool {
				_, other := s.bucket.Get(prefix + "other")
				_, gone := s.bucket.Get(prefix + "gone")
				return other && !(gone && stored)
			})
			s.eventually("status names it", func() bool {
				st := s.e.Status()
				return st.FailedCount == 1 && st.Failed[0].Path == "denied" && strings.Contains(st.Failed[0].Reason, "access denied")
			})
			if _, err := s.e.Checkpoint(s.ctx()); err == nil || !strings.Contains(err.Error(), "denied") {
				t.Errorf("a checkpoint says %v", err)
			}
			want := []string{"denied"}
			if !stored {
				want = []string{"denied", "gone"}
				s.want("gone", "x")
			}
			s.wantUnsaved(s.flush(), want...)
			denied.Remove()
			if f := s.flush(); f.UnsavedCount != 0 {
				t.Errorf("allowed again, the flush says %+v", f)
			}
			s.want("denied", "x")
			s.wantNone("gone")
		})
	}
}

// wantUnsaved wants a flush to name exactly these paths.
func (s *sandbox) wantUnsaved(f wire.Flushed, paths ...string) {
	s.t.Helper()
	var got []string
	for _, u := range f.Unsaved {
		got = append(got, u.Path)
	}
	if !slices.Equal(got, paths) || f.UnsavedCount != int64(len(paths)) {
		s.t.Errorf("not saved %q (%d), want %q: %+v", got, f.UnsavedCount, paths, f)
	}
}

func TestFaultsOnTheWay(t *testing.T) {
	for name, fault := range map[string]testbed.Action{
		"latency":                  testbed.Slow(300 * time.Millisecond),
		"500":                      testbed.Refuse(500, "InternalError"),
		"503 SlowDown":             testbed.RefuseWith(503, "SlowDown", map[string]string{"Retry-After": "1"}),
		"reset before the request": testbed.ResetBefore(),
		"reset in the request":     testbed.ResetRequest(1000),
		"corrupted request":        testbed.CorruptRequest(100),
		"lost answer":              testbed.LoseAnswer(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t).start()
			s.proxy.Add(testbed.Fault{When: testbed.Match{Regexp: "/hot/"}, Do: fault, Times: 4})
			for i := range 10 {
				s.write(fmt.Sprintf("f%d", i), strings.Repeat(fmt.Sprint(i), 5000))
			}
			s.saved()
			for i := range 10 {
				s.want(fmt.Sprintf("f%d", i), strings.Repeat(fmt.Sprint(i), 5000))
			}
			if n := len(s.keys()); n != 10 {
				t.Errorf("keys %q", s.keys())
			}
		})
	}
}

// Credentials expire, and are rotated: it goes on by itself, and says so until then.
func TestExpiredCredentials(t *testing.T) {
	s := newSandbox(t).start()
	expired := s.proxy.Add(testbed.Fault{When: testbed.Match{Regexp: "/hot/"}, Do: testbed.Refuse(403, "ExpiredToken")})
	s.write("a", "x")
	s.eventually("status says so", func() bool { return strings.Contains(s.e.Status().Problem, "expired") })
	expired.Remove()
	s.saved()
	s.want("a", "x")
	if p := s.e.Status().Problem; p != "" {
		t.Errorf("still: %s", p)
	}
}

func TestBucketGone(t *testing.T) {
	s := newSandbox(t).start()
	gone := s.proxy.Add(testbed.Fault{Do: testbed.Refuse(404, "NoSuchBucket")})
	s.write("a", "x")
	s.eventually("status says so", func() bool { return strings.Contains(s.e.Status().Problem, "bucket") })
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if f, err := s.e.Flush(ctx); err != nil || f.UnsavedCount != 1 {
		t.Errorf("the flush says %+v, %v", f, err)
	}
	gone.Remove()
	s.flushed()
	s.want("a", "x")
}

// The disk of the state directory is full: uploads go on, status says so, and nothing is lost.
func TestDiskFullForTheJournal(t *testing.T) {
	s := newSandbox(t)
	check(t, unix.Mount("tmpfs", s.cfg.StateDir, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(s.cfg.StateDir, unix.MNT_DETACH) })
	s.start()
	s.write("a", "one")
	s.saved()
	filler, err := os.Create(filepath.Join(s.cfg.StateDir, "filler"))
	check(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	filler.Close()
	// What the journal booked ahead is used up.
	for i := 0; s.e.journal.Err() == nil; i++ {
		s.write(fmt.Sprintf("n/f%d", i), "x")
		if i%500 == 0 {
			s.saved()
		}
	}
	s.write("a", "two")
	s.write("b", "x")
	s.remove("n")
	s.saved()
	s.want("a", "two")
	s.want("b", "x")
	if p := s.e.Status().Problem; !strings.Contains(p, "journal") {
		t.Errorf("status says %q", p)
	}
	check(t, os.Remove(filler.Name()))
	s.flushed()
	s.start()
	s.saved()
	wantKeys(t, s.keys(), "a", "b")
	if n := s.e.Status().Conflicts; n != 0 {
		t.Errorf("%d conflicts", n)
	}
}

// gateFence is a lease that can be in doubt, or lost.
type gateFence struct {
	mu    sync.Mutex
	open  chan struct{} // closed while writing is allowed
	lost  error
	under map[*context.CancelCauseFunc]bool
}

func newGateFence() *gateFence {
	f := &gateFence{open: make(chan struct{}), under: map[*context.CancelCauseFunc]bool{}}
	close(f.open)
	return f
}

func (f *gateFence) Write(ctx context.Context) (context.Context, context.CancelFunc, error) {
	for {
		f.mu.Lock()
		open, lost := f.open, f.lost
		if lost != nil {
			f.mu.Unlock()
			return nil, nil, lost
		}
		select {
		case <-open:
			w, cancel := context.WithCancelCause(ctx)
			f.under[&cancel] = true
			f.mu.Unlock()
			return w, func() {
				f.mu.Lock()
				delete(f.under, &cancel)
				f.mu.Unlock()
				cancel(nil)
			}, nil
		default:
		}
		f.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func (f *gateFence) doubt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = make(chan struct{})
	for c := range f.under {
		(*c)(lease.ErrInDoubt)
	}
}

func (f *gateFence) sure() { f.mu.Lock(); defer f.mu.Unlock(); close(f.open) }

func (f *gateFence) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = fmt.Errorf("%w: another sandbox has it", lease.ErrLost)
	for c := range f.under {
		(*c)(f.lost)
	}
}

// The lease is in doubt: nothing is sent, what was under way is cut off, and all is made up for.
func TestLeaseInDoubt(t *testing.T) {
	s := newSandbox(t)
	fence := newGateFence()
	s.fence = fence
	s.start()
	s.write("a", "one")
	s.saved()
	hold := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Regexp: "/hot/"}, Do: hold, Times: 1})
	s.write("a", "two")
	if !hold.WaitArrived(s.ctx(), 1) {
		t.Fatal("the upload does not come")
	}
	fence.doubt()
	s.eventually("the upload is cut off", func() bool { s.proxy.Forget(); return s.e.Status().InFlight <= 1 })
	s.proxy.Forget()
	s.write("b", "x")
	s.remove("a")
	check(t, s.e.obs.catchUp(s.ctx(), false))
	if n := s.proxy.Count("PUT") + s.proxy.Count("DELETE"); n != 0 {
		t.Errorf("%d writes while the lease is in doubt", n)
	}
	fence.sure()
	s.saved()
	wantKeys(t, s.keys(), "b")
}

func TestLeaseLost(t *testing.T) {
	s := newSandbox(t)
	fence := newGateFence()
	s.fence = fence
	s.start()
	s.write("a", "one")
	s.saved()
	fence.lose()
	s.write("a", "two")
	s.remove("b")
	s.eventually("status says so", func() bool {
		st := s.e.Status()
		return st.State == "failed" && strings.Contains(st.Problem, "another sandbox")
	})
	if _, err := s.e.Checkpoint(s.ctx()); err == nil {
		t.Error("a checkpoint succeeds")
	}
	f := s.flush()
	if f.UnsavedCount != 1 || !strings.Contains(f.Unsaved[0].Reason, "another sandbox") {
		t.Errorf("the flush says %+v", f)
	}
	s.want("a", "one")
}

// What cannot be kept is named, and what need not be is not.
func TestOddFiles(t *testing.T) {
	s := newSandbox(t).start()
	check(t, unix.Mkfifo(s.path("fifo"), 0o644))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	check(t, err)
	defer unix.Close(fd)
	check(t, os.Mkdir(s.path("run"), 0o755))
	check(t, unix.Bind(fd, &unix.SockaddrUnix{Name: s.path("run/socket")}))
	s.write("suid", "x")
	check(t, unix.Chmod(s.path("suid"), 0o6755))
	s.write("linked", "x")
	check(t, os.Link(s.path("linked"), s.path("link")))
	s.write("\xff\xfe\n%41", "bytes")
	deep := strings.Repeat("deep-directory-name/", 60)
	check(t, os.MkdirAll(s.path(deep), 0o755))
	s.write(deep+"f", "x")
	long := strings.Repeat("x", 200)
	s.write(long, "x")
	s.saved2()
	s.want("suid", "x")
	if o, _ := s.bucket.Get(prefix + "suid"); o.Metadata["file-permissions"] != "0100755" {
		t.Errorf("metadata %v", o.Metadata)
	}
	f := s.flush()
	if f.UnsavedCount != 1 || !strings.Contains(f.Unsaved[0].Reason, "1,024") {
		t.Errorf("the flush says %+v", f)
	}
	keys := slices.DeleteFunc(s.keys(), func(key string) bool {
		// A directory that was seen before the next one was made in it was an empty one.
		return strings.HasPrefix(deep, key) && key != deep
	})
	wantKeys(t, keys, "%FF%FE%0A%41", "linked", "link", "suid", long, "run/")
	if name := conflict.Name(long, "sb", time.Now()); len(name) > tree.NameMax {
		t.Errorf("a conflict copy of %d bytes", len(name))
	}
}

// saved2 is saved for a home of which something cannot be.
func (s *sandbox) saved2() {
	s.t.Helper()
	if _, err := s.e.Checkpoint(s.ctx()); err == nil {
		s.t.Error("a checkpoint of what cannot be saved succeeds")
	}
}

// What cannot be read is no reason not to start: neither where something has to be compared with it, nor where a
// log waits for its database, nor in a restarted container, where nothing else has to be read.
func TestUnreadableObjectIsNoReasonNotToStart(t *testing.T) {
	for name, kept := range map[string][]string{
		"same": {"same"}, "x.db": {"x.db", "x.db-wal"}, "new": {"new"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			for _, key := range []string{"ok", "same", "new", "x.db", "x.db-wal"} {
				s.bucket.Put(prefix+key, "theirs", nil)
			}
			s.write("same", "mine..")
			s.proxy.Add(testbed.Fault{When: testbed.Match{Suffix: "/hot/" + name}, Do: testbed.Refuse(403, "AccessDenied")})
			for range 2 {
				s.hydrate()
				s.wantFile("ok", "theirs")
				var got []string
				for _, k := range s.e.Status().Kept {
					got = append(got, k.Path)
				}
				if slices.Sort(got); !slices.Equal(got, kept) {
					t.Errorf("kept in S3: %q, want %q", got, kept)
				}
				if name == "same" {
					s.wantFile("same", "mine..")
				}
				s.kill()
			}
			for _, key := range []string{"ok", "same", "new", "x.db", "x.db-wal"} {
				s.want(key, "theirs")
			}
		})
	}
}

// A manifest that cannot be read costs time, and is replaced by the next one.
func TestUnreadableManifestIsNoReasonNotToStart(t *testing.T) {
	for _, code := range []string{"AccessDenied", "InvalidObjectState"} {
		t.Run(code, func(t *testing.T) {
			s := newSandbox(t).start()
			s.write("f", "x")
			s.flushed()
			fault := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/.sandbox/hot/manifest"}, Do: testbed.Refuse(403, code)})
			next := sandboxAt(t, s.bucket, s.proxy).start()
			next.wantFile("f", "x")
			next.write("g", "y")
			next.flushed()
			fault.Remove()
			last := sandboxAt(t, s.bucket, s.proxy)
			last.hydrate()
			if last.e.manifestAt.IsZero() {
				t.Error("there is no manifest")
			}
			last.wantFile("g", "y")
			last.kill()
		})
	}
}
