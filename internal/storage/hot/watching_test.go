package hot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/watch"
	"github.com/matrx/sandbox/internal/testbed"
)

// deaf stops the observer while f runs, so that the kernel's queue fills.
func (s *sandbox) deaf(f func()) {
	s.t.Helper()
	stopped, done := make(chan struct{}), make(chan struct{})
	s.e.obs.do(func() {
		close(stopped)
		<-done
	})
	<-stopped
	f()
	close(done)
}

func TestOverflow(t *testing.T) {
	s := newSandbox(t).start()
	s.write("before", "x")
	s.write("old/gone", "x")
	s.saved()
	scans := s.e.Status().Rescans
	s.deaf(func() {
		for i := range 9000 { // three events each, of which the queue takes 16,384
			check(t, os.WriteFile(s.path(fmt.Sprintf("noise%d", i%10)), []byte{byte(i)}, 0o644))
		}
		s.write("dir/after", "made when the queue was full")
		s.remove("old")
	})
	s.saved()
	s.want("dir/after", "made when the queue was full")
	s.wantNone("old/gone")
	if n := s.e.Status().Rescans; n <= scans {
		t.Errorf("%d scans, and before the overflow %d", n, scans)
	}
	// Events count again.
	s.write("later", "x")
	s.eventually("later is in S3", func() bool { _, ok := s.bucket.Get(prefix + "later"); return ok })
}

// 50,000 files made at once in directories that are new themselves: all are seen.
func TestManyFilesAtOnce(t *testing.T) {
	s := newSandbox(t).start()
	s.saved()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Regexp: "/hot/"}, Do: testbed.Hold()}) // what is seen, not how fast it is sent
	const dirs, files = 500, 100
	for d := range dirs {
		dir := s.path(fmt.Sprintf("many/d%d/e", d))
		check(t, os.MkdirAll(dir, 0o755))
		for f := range files {
			fd, err := unix.Open(fmt.Sprintf("%s/f%d", dir, f), unix.O_CREAT|unix.O_WRONLY, 0o644)
			check(t, err)
			unix.Close(fd)
		}
	}
	check(t, s.e.obs.catchUp(s.ctx(), false))
	s.e.mu.Lock()
	n := 0
	for p := range s.e.queue.Pending {
		if !strings.HasSuffix(p.Name, "/") {
			n++
		}
	}
	s.e.mu.Unlock()
	if n != dirs*files {
		t.Errorf("%d files are seen, of %d", n, dirs*files)
	}
}

func TestWatchLimit(t *testing.T) {
	s := newSandbox(t)
	s.hydrate()
	var left atomic.Int64 // directories are read by several at once
	left.Store(3)
	s.e.beforeRun = func(o *observer) {
		add := o.add
		o.add = func(dir int, self bool) (watch.WD, error) {
			if left.Add(-1) < 0 {
				return 0, watch.ErrLimit
			}
			return add(dir, self)
		}
	}
	for i := range 8 {
		s.write(fmt.Sprintf("d%d/f", i), "x")
	}
	s.run()
	s.saved()
	if st := s.e.Status(); !st.WatchLimit {
		t.Error("status does not say that the limit is reached")
	}
	for i := range 8 {
		s.write(fmt.Sprintf("d%d/f", i), "changed")
	}
	s.remove("d7")
	s.rename("d6/f", "d5/g")
	s.eventually("the changes arrive", func() bool {
		o, ok := s.bucket.Get(prefix + "d4/f")
		_, gone := s.bucket.Get(prefix + "d7/f")
		return ok && string(o.Body) == "changed" && !gone
	})
	s.saved()
	wantKeys(t, s.keys(), "d0/f", "d1/f", "d2/f", "d3/f", "d4/f", "d5/f", "d5/g", "d6/")
	s.flushed()
}

// A sandbox watches no more directories than its share, and finds what changes in the others by scanning; a directory
// that goes leaves its watch to another one.
func TestSandboxTakesItsShareOfWatches(t *testing.T) {
	s := newSandbox(t)
	s.hydrate()
	s.e.beforeRun = func(o *observer) { o.share = 4 }
	for i := range 10 {
		s.write(fmt.Sprintf("d%d/f", i), "x")
	}
	s.run()
	s.saved()
	watched := func() (n int) {
		done := make(chan struct{})
		s.e.obs.do(func() { n = s.e.obs.dirs.Len(); close(done) })
		<-done
		return n
	}
	if n := watched(); n != 4 {
		t.Errorf("%d directories are watched", n)
	}
	if !s.e.Status().WatchLimit {
		t.Error("status does not say so")
	}
	for i := range 10 {
		s.write(fmt.Sprintf("d%d/f", i), "changed")
		s.write(fmt.Sprintf("d%d/new/deep/f", i), "new")
	}
	for i := range 10 {
		s.eventually("a change arrives", func() bool {
			a, _ := s.bucket.Get(prefix + fmt.Sprintf("d%d/f", i))
			_, ok := s.bucket.Get(prefix + fmt.Sprintf("d%d/new/deep/f", i))
			return string(a.Body) == "changed" && ok
		})
	}
	for i := range 9 {
		s.remove(fmt.Sprintf("d%d", i))
	}
	s.saved()
	s.saved() // by now the last scan knew that the others are gone
	if n := watched(); n != 4 {
		t.Errorf("%d directories are watched when four are left", n)
	}
	wantKeys(t, s.keys(), "d9/f", "d9/new/deep/f")
	s.flushed()
}

func TestNoInotifyAtAll(t *testing.T) {
	s := newSandbox(t)
	s.hydrate()
	s.e.beforeRun = func(o *observer) {
		o.watcher.Close()
		o.watcher = nil
		o.limit()
	}
	s.run()
	s.write("d/f", "x")
	s.saved()
	s.want("d/f", "x")
	s.remove("d")
	s.write("g", "x")
	s.flushed()
	wantKeys(t, s.keys(), "g")
}

// A store through a mapping makes no event. It arrives with the next scan.
func TestMappedFile(t *testing.T) {
	s := newSandbox(t).start()
	s.write("m", strings.Repeat("x", 8192))
	s.saved()
	f, err := os.OpenFile(s.path("m"), os.O_RDWR, 0)
	check(t, err)
	m, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(m)
	check(t, f.Close())
	s.saved()
	copy(m[5000:], "through the mapping")
	if f := s.flush(); f.UnsavedCount != 0 {
		t.Fatalf("%+v", f)
	}
	o, _ := s.bucket.Get(prefix + "m")
	if !strings.Contains(string(o.Body), "through the mapping") {
		t.Error("the store is not in S3")
	}
}

// What a checkpoint says is saved is what was on the disk when it was called, also what raised no
// event: a store through a mapping of a closed file, a write through a hard link elsewhere.
func TestCheckpointSeesWhatRaisesNoEvent(t *testing.T) {
	s := newSandbox(t).start()
	s.write("mapped", strings.Repeat("x", 8192))
	s.write("linked", "one")
	check(t, os.Link(s.path("linked"), filepath.Join(filepath.Dir(s.home), "elsewhere")))
	s.saved()
	f, err := os.OpenFile(s.path("mapped"), os.O_RDWR, 0)
	check(t, err)
	m, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(m)
	check(t, f.Close())
	s.saved()
	copy(m, "through the mapping")
	check(t, os.WriteFile(filepath.Join(filepath.Dir(s.home), "elsewhere"), []byte("two"), 0))
	if c := s.saved(); c.Files != 2 {
		t.Errorf("%d files were saved, want 2", c.Files)
	}
	s.want("linked", "two")
	if o, _ := s.bucket.Get(prefix + "mapped"); !strings.HasPrefix(string(o.Body), "through the mapping") {
		t.Error("the store is not in S3")
	}
}

// A change that leaves size and mtime as they were, and that no event told.
func TestSameSizeSameMtime(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.write("b", "one")
	s.saved()
	blind(t, s)
	for _, name := range []string{"a", "b"} {
		st, err := os.Stat(s.path(name))
		check(t, err)
		if name == "b" { // another file in its place
			s.write("b.tmp", "two")
			check(t, os.Chtimes(s.path("b.tmp"), st.ModTime(), st.ModTime()))
			s.rename("b.tmp", "b")
			continue
		}
		check(t, os.WriteFile(s.path(name), []byte("two"), 0o644))
		check(t, os.Chtimes(s.path(name), st.ModTime(), st.ModTime()))
	}
	s.flushed()
	s.want("a", "two")
	s.want("b", "two")
}

// A file whose times were too young to be trusted is compared once more.
func TestComparedOnceMore(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "one")
	s.saved()
	e, _ := s.e.journal.Get("a")
	if !e.Local.Racy {
		t.Fatalf("just written, and trusted: %+v", e)
	}
	// As if the object had another content than the file, with the same stat.
	s.bucket.Put(prefix+"a", "eno", nil)
	o, _ := s.bucket.Get(prefix + "a")
	e.ETag, e.SHA256 = o.ETag, [32]byte{1}
	check(t, s.e.journal.Put(e))
	s.eventually("the file is sent again", func() bool { o, _ := s.bucket.Get(prefix + "a"); return string(o.Body) == "one" })
	s.eventually("its times are trusted", func() bool { e, _ := s.e.journal.Get("a"); return !e.Local.Racy })
	i, err := s.e.root.Lstat("a")
	check(t, err)
	if e, _ := s.e.journal.Get("a"); e.Local != i.Stat {
		t.Errorf("%+v, and the file is %+v", e.Local, i.Stat)
	}
}

// A directory is renamed: all that is in it, watched or made a moment ago, is found.
func TestRenamedDirectory(t *testing.T) {
	s := newSandbox(t).start()
	for i := range 20 {
		s.write(fmt.Sprintf("a/d%d/f", i), fmt.Sprint(i))
	}
	s.saved()
	s.rename("a", "b")
	s.write("b/d3/new", "x")
	s.write("b/d4/f", "changed")
	s.rename("b/d5", "b/d6/moved")
	s.saved()
	s.write("b/d6/moved/late", "x") // the watches have moved along
	s.eventually("late arrives", func() bool { _, ok := s.bucket.Get(prefix + "b/d6/moved/late"); return ok })
	keys := s.keys()
	if len(keys) != 22 || slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "a/") }) {
		t.Errorf("keys %q", keys)
	}
	s.want("b/d4/f", "changed")
	s.flushed()
}

// What a rename moves out of the home is deleted, and its watches are gone.
func TestMovedOutOfTheHome(t *testing.T) {
	s := newSandbox(t).start()
	s.write("d/e/f", "x")
	s.write("keep", "x")
	s.saved()
	out := filepath.Join(filepath.Dir(s.home), "out")
	check(t, os.Rename(s.path("d"), out))
	t.Cleanup(func() { os.RemoveAll(out) })
	check(t, os.WriteFile(filepath.Join(out, "e/g"), []byte("x"), 0o644))
	s.saved()
	wantKeys(t, s.keys(), "keep")
}

func TestIgnoreRulesChange(t *testing.T) {
	s := newSandbox(t).start()
	s.write("build/out", "x")
	s.write("src/a.c", "x")
	s.saved()
	s.write(".sandboxignore", "build/\n*.log\n")
	s.saved()
	s.eventually("the rules are read", func() bool { return s.e.rules.Load().Match("build", true) })
	s.write("build/out", "changed")
	s.write("build/new", "x")
	s.write("a.log", "x")
	s.remove("build/out")
	s.e.obs.look("build/out") // as the second comparison of a file does whose times were young
	s.saved()
	wantKeys(t, s.keys(), ".sandboxignore", "build/out", "src/a.c")
	s.write("rules", "*.log\n")
	s.rename("rules", ".sandboxignore") // written in place it would be empty for a moment, and a.log go up
	s.eventually("what is not left out any more arrives", func() bool { _, ok := s.bucket.Get(prefix + "build/new"); return ok })
	s.flushed()
	wantKeys(t, s.keys(), ".sandboxignore", "build/new", "src/a.c")
}

// What is steady is not touched: no scan uploads anything again, none asks S3.
func TestSteady(t *testing.T) {
	s := newSandbox(t).start()
	for i := range 200 {
		s.write(fmt.Sprintf("d%d/f%d", i%10, i), "x")
	}
	check(t, os.Chmod(s.path("d1"), 0o700))
	check(t, os.Mkdir(s.path("empty"), 0o755))
	check(t, os.Symlink("nowhere", s.path("link")))
	s.saved()
	s.eventually("all is compared once more", func() bool { s.e.mu.Lock(); defer s.e.mu.Unlock(); return s.e.verify.len() == 0 })
	before := s.proxy.Count("")
	for range 3 {
		check(t, s.e.obs.catchUp(s.ctx(), true))
		s.saved()
	}
	if n := s.proxy.Count("") - before; n != 0 {
		t.Errorf("%d requests", n)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if n := s.e.queue.Len(); n != 0 {
		t.Errorf("%d names are pending", n)
	}
}

// A job reads the disk ahead of the events: what it finds may exclude what S3 holds, and no process
// has said so yet. S3 never holds both.
func TestFileBeforeItsDirectoryWasSeenGone(t *testing.T) {
	s := newSandbox(t).start()
	s.write("p/x", "old")
	s.saved()
	s.proxy.Forget()
	s.deaf(func() {
		s.remove("p")
		s.write("p", "new")
		s.e.mu.Lock()
		s.e.queue.Write("p", 3, queue.Order{}, s.e.now()) // by an event about an earlier p
		s.e.mu.Unlock()
		s.e.wake()
		s.eventually("the job finds what is in its way", func() bool {
			s.e.obs.requests.mu.Lock()
			defer s.e.obs.requests.mu.Unlock()
			return len(s.e.obs.calls) > 0
		})
	})
	s.saved()
	s.want("p", "new")
	wantKeys(t, s.keys(), "p")
	var changes []string
	for _, r := range s.proxy.Requests() {
		if r.Method != "GET" && r.Method != "HEAD" {
			changes = append(changes, r.Verb+" "+r.Key)
		}
	}
	if want := []string{"DELETE " + prefix + "p/x", "PUT " + prefix + "p"}; !slices.Equal(changes, want) {
		t.Errorf("%q, want %q", changes, want)
	}
	s.flushed()
}
