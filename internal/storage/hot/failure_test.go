package hot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/upload"
	"github.com/matrx/sandbox/internal/testbed"
)

// flushWithin flushes with a deadline.
func (s *sandbox) flushWithin(d time.Duration) (unsaved []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	f, err := s.e.Flush(ctx)
	check(s.t, err)
	for _, u := range f.Unsaved {
		unsaved = append(unsaved, u.Path)
	}
	return unsaved
}

// One change that fails in a way that could be the store's holds no other change up: the others
// arrive, while it runs and in the flush, and it alone is named.
func TestFailingChangeHoldsNoOther(t *testing.T) {
	html := testbed.Answer(413, map[string]string{"Content-Type": "text/html"}, "<html><body><h1>413 Request Entity Too Large</h1></body></html>")
	for name, c := range map[string]struct {
		fault testbed.Action
		final bool // the client does not try again by itself
	}{
		"413 of a proxy":      {html, true},
		"500 on this key":     {testbed.Refuse(500, "InternalError"), false},
		"reset of a content":  {testbed.ResetRequest(10), false},
		"403 of wrong signer": {testbed.Refuse(403, "SignatureDoesNotMatch"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t).start()
			s.write("old", "x")
			s.saved()
			fault := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/bad"}, Do: c.fault})
			s.write("bad", strings.Repeat("x", 1000))
			s.eventually("it is tried", func() bool { return fault.Hits() > 0 })
			for i := range 6 {
				s.write("f"+strconv.Itoa(i), "x")
			}
			s.eventually("the others arrive", func() bool { return len(s.keys()) == 7 })
			if c.final {
				s.eventually("it is named, and not the store", func() bool {
					st := s.e.Status()
					return st.FailedCount == 1 && st.Failed[0].Path == "bad" && st.Problem == "" && st.State != "failed"
				})
			}
			s.write("late", "x")
			if unsaved := s.flushWithin(10 * time.Second); len(unsaved) != 1 || unsaved[0] != "bad" {
				t.Errorf("not saved: %q", unsaved)
			}
			s.want("late", "x")
			fault.Remove()
			s.flushed()
			s.want("bad", strings.Repeat("x", 1000))
		})
	}
}

// A rename whose new name cannot be stored leaves the old object where it is: it may be the only
// copy in S3.
func TestOldObjectStaysUntilRenameIsStored(t *testing.T) {
	refused := func(s *sandbox) *testbed.Applied {
		s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "COPY"}, Do: testbed.Refuse(400, "KMS.DisabledException")})
		return s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/new"}, Do: testbed.Refuse(400, "KMS.DisabledException")})
	}
	for name, c := range map[string]struct {
		to    string
		fault func(s *sandbox) *testbed.Applied
	}{
		"refused": {"new", refused},
		"no key":  {filepath.Join(tooDeep(), "new"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t).start()
			s.write("important", "the only copy")
			s.saved()
			check(t, os.MkdirAll(filepath.Dir(s.path(c.to)), 0o755))
			var fault *testbed.Applied
			if c.fault != nil {
				fault = c.fault(s)
			}
			s.rename("important", c.to)
			s.eventually("the new name is refused", func() bool { return s.e.Status().FailedCount > 0 })
			s.want("important", "the only copy")
			unsaved := []string{"important", c.to}
			slices.Sort(unsaved)
			s.wantUnsaved(s.flush(), unsaved...)
			s.want("important", "the only copy")
			if fault == nil {
				return
			}
			// The next start of the same container knows as much.
			s.kill()
			s.start()
			s.eventually("the new name is refused again", func() bool { return s.e.Status().FailedCount > 0 })
			check(t, s.e.obs.catchUp(s.ctx(), true))
			s.want("important", "the only copy")
			fault.Remove()
			s.flushed()
			s.want("new", "the only copy")
			s.wantNone("important")
		})
	}
}

// A rename over a file of which S3 has an older version leaves the old name's object where it is while the new
// name cannot be stored: the older version does not have the content.
func TestOldObjectStaysUntilRenameOverAnotherIsStored(t *testing.T) {
	s := newSandbox(t).start()
	s.write("important", "the only copy")
	s.write("target", "older")
	s.write("other", "x")
	s.saved()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "COPY"}, Do: testbed.Refuse(400, "KMS.DisabledException")})
	fault := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/target"}, Do: testbed.Refuse(400, "KMS.DisabledException")})
	s.rename("important", "target")
	s.eventually("the new name is refused", func() bool { return s.e.Status().FailedCount > 0 })
	if _, err := s.e.Checkpoint(s.ctx()); err == nil {
		t.Error("a checkpoint succeeds")
	}
	s.wantUnsaved(s.flush(), "important", "target")
	s.want("important", "the only copy")
	s.want("target", "older")
	// The next start of the same container knows as much.
	s.kill()
	s.start()
	s.eventually("the new name is refused again", func() bool { return s.e.Status().FailedCount > 0 })
	check(t, s.e.obs.catchUp(s.ctx(), true))
	s.want("important", "the only copy")
	fault.Remove()
	s.flushed()
	s.want("target", "the only copy")
	s.wantNone("important")
}

// A file is renamed over one that was refused, or is about to be: its old name holds the only copy until the new one is stored.
func TestFileRenamedOverARefusedOneKeepsItsObject(t *testing.T) {
	for name, underWay := range map[string]bool{"refused before": false, "refused afterwards": true} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t).start()
			s.write("important", "the only copy")
			s.write("target", "older")
			s.saved()
			gate := testbed.Hold()
			hold := func() {
				for _, verb := range []string{"PUT", "COPY"} {
					s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: verb, Suffix: "/hot/target"}, Do: gate})
				}
			}
			if underWay {
				hold()
			}
			var refused []*testbed.Applied
			for _, verb := range []string{"PUT", "COPY"} {
				refused = append(refused, s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: verb, Suffix: "/hot/target"}, Do: testbed.Refuse(400, "KMS.DisabledException")}))
			}
			s.write("target", "refused")
			if !underWay {
				s.eventually("it is refused", func() bool { return s.e.isStuck("target") })
				hold()
			} else if !gate.WaitArrived(s.ctx(), 1) {
				t.Fatal("it is not sent")
			}
			s.rename("important", "target")
			check(t, s.e.obs.catchUp(s.ctx(), false))
			if !underWay {
				s.eventually("the deletion is held, or sent", func() bool {
					s.e.mu.Lock()
					defer s.e.mu.Unlock()
					_, pending := s.e.queue.Has("important")
					return !pending || s.e.queue.HeldByStuck("important")
				})
			}
			gate.Open()
			s.wantUnsaved(s.flush(), "important", "target")
			s.want("important", "the only copy")
			for _, f := range refused {
				f.Remove()
			}
			s.flushed()
			s.want("target", "the only copy")
			s.wantNone("important")
		})
	}
}

// A copy inside S3 that is refused becomes an upload: of a renamed file, whose old object goes when
// that has arrived, and of one whose attributes have changed.
func TestRefusedCopyBecomesUpload(t *testing.T) {
	s := newSandbox(t).start()
	content := strings.Repeat("x", 100_000)
	s.write("a", content)
	s.write("b", content)
	s.saved()
	refused := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "COPY"}, Do: testbed.Refuse(403, "AccessDenied")})
	gate := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/renamed"}, Do: gate, Times: 1})
	s.rename("a", "renamed")
	check(t, os.Chmod(s.path("b"), 0o600))
	if !gate.WaitArrived(s.ctx(), 1) {
		t.Fatal("the renamed file is not uploaded")
	}
	s.want("a", content)
	gate.Open()
	s.flushed()
	if refused.Hits() == 0 {
		t.Error("no copy was tried")
	}
	s.want("renamed", content)
	s.wantNone("a")
	if o, _ := s.bucket.Get(prefix + "b"); o.Metadata["file-permissions"] != "0100600" {
		t.Errorf("the attributes are %v", o.Metadata)
	}
}

// A file that is written all the time holds no deletion back while S3 has an older version of it.
func TestRestlessFileHoldsNoDeletion(t *testing.T) {
	s := newSandbox(t)
	s.write("gone", "x")
	check(t, os.WriteFile(s.path("busy"), make([]byte, 8<<20), 0o644))
	s.start()
	s.saved()
	f, err := os.OpenFile(s.path("busy"), os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := byte(0); ; n++ {
			select {
			case <-stop:
				return
			default:
				f.WriteAt([]byte{n}, 4<<20)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	s.eventually("it is pending", func() bool { return s.e.Status().DirtyFiles > 0 })
	s.remove("gone")
	s.eventually("the deletion arrives", func() bool { _, ok := s.bucket.Get(prefix + "gone"); return !ok })
}

// A checkpoint does not succeed while a file cannot be stored, also when the store failed with others
// meanwhile, which are gone by then.
func TestCheckpointFailsForWhatFailedWithTheStore(t *testing.T) {
	s := newSandbox(t).start()
	s.write("old", "x")
	s.saved()
	html := testbed.Answer(413, map[string]string{"Content-Type": "text/html"}, "<html></html>")
	for _, name := range []string{"bad", "tmp1", "tmp2"} {
		s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/" + name}, Do: html})
	}
	s.write("bad", "x")
	s.eventually("it is stuck", func() bool { return s.e.isStuck("bad") })
	s.write("tmp1", "x")
	s.write("tmp2", "x")
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(s.ctx(), 5*time.Second)
	defer cancel()
	go func() { _, err := s.e.Checkpoint(ctx); done <- err }()
	s.eventually("the store is taken for the reason", func() bool { return s.e.Status().Problem != "" })
	s.remove("tmp1")
	s.remove("tmp2")
	if err := <-done; err == nil {
		t.Errorf("the checkpoint succeeds; S3 has %q", s.keys())
	}
}

// A flush whose time is up while files are still to be compared once more says so.
func TestUncomparedFilesAreListed(t *testing.T) {
	s := newSandbox(t).start()
	for compared := true; compared; {
		s.write("young", "x")
		s.write("young", "y")
		s.saved()
		s.e.mu.Lock()
		if compared = s.e.verify.len() == 0; !compared {
			s.e.limit.now = 0 // nothing is begun any more
		}
		s.e.mu.Unlock()
	}
	if unsaved := s.flushWithin(time.Second); !slices.Equal(unsaved, []string{"young"}) {
		t.Errorf("not saved: %q", unsaved)
	}
}

// Large files go two at a time, and those that wait hold no place among the uploads: a small file that was
// written after 70 of them is stored while the first two are under way.
func TestSmallFileDoesNotWaitForLargeOnes(t *testing.T) {
	s := newSandbox(t)
	s.hydrate()
	gate := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Regexp: "/hot/large/"}, Do: gate})
	check(t, os.Mkdir(s.path("large"), 0o755))
	for i := range 70 {
		name := s.path(fmt.Sprintf("large/%d", i))
		check(t, os.WriteFile(name, []byte("x"), 0o644))
		check(t, os.Truncate(name, 17<<20))
	}
	s.run()
	if !gate.WaitArrived(s.ctx(), 2) {
		t.Fatal("no large file is sent")
	}
	s.write("small", "x")
	s.eventually("the small file is stored", func() bool { _, ok := s.bucket.Get(prefix + "small"); return ok })
	s.eventually("two jobs are under way", func() bool { return s.e.Status().InFlight == 2 })
	s.remove("large")
	gate.Open()
	s.flushed()
	wantKeys(t, s.keys(), "small")
}

// A file that never rested and is gone is not waited for: it is neither in status, nor why a checkpoint fails.
func TestDeletedFileIsNotAtRestNoMore(t *testing.T) {
	for name, deletedFirst := range map[string]bool{"deleted while it is read": true, "deleted later": false} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.hydrate()
			defer s.kill()
			s.e.obs = newObserver(s.e.home, s.e.pending) // which never runs, so that the order is this test's
			defer s.e.obs.watcher.Close()
			s.e.mu.Lock()
			s.e.queue.Write("f", 1, queue.Order{Exists: true}, 0)
			job, ok := s.e.queue.Next(time.Hour)
			s.e.mu.Unlock()
			if !ok {
				t.Fatal("there is no job")
			}
			check(t, s.e.journal.Put(journal.Entry{Path: "f", Key: "f", ETag: "x"}))
			end := func() { s.e.finish(job, upload.How{}, 0, upload.Result{Outcome: queue.Unstable, NotAtRest: true}) }
			if !deletedFirst {
				end()
			}
			s.e.sawNothing("f", true)
			if deletedFirst {
				end()
			}
			if st := s.e.Status(); len(st.NotAtRest) != 0 {
				t.Errorf("not at rest: %q", st.NotAtRest)
			}
		})
	}
}
