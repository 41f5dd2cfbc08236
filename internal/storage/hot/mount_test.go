package hot

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mount mounts an empty file system over a directory of the home, or with from a file or a
// directory over another.
func (s *sandbox) mount(name, from string) (unmount func()) {
	s.t.Helper()
	if from == "" {
		check(s.t, unix.Mount("tmpfs", s.path(name), "tmpfs", 0, "size=1m"))
	} else {
		check(s.t, unix.Mount(from, s.path(name), "", unix.MS_BIND, ""))
	}
	unmount = func() { unix.Unmount(s.path(name), unix.MNT_DETACH) }
	s.t.Cleanup(unmount)
	return unmount
}

// What is mounted in the home is not the home: neither uploaded, hydrated nor deleted, named in
// status, and no reason not to start. What S3 has there stays.
func TestMountsAreNotTheHome(t *testing.T) {
	s := newSandbox(t)
	for _, key := range []string{"data/a", "conf", "keep"} {
		s.bucket.Put(prefix+key, "stored", nil)
	}
	stored := s.bucket.ETags(prefix)
	check(t, os.MkdirAll(s.path("data"), 0o755))
	check(t, os.MkdirAll(s.path("deep/secret"), 0o755))
	s.write("conf", "")
	config := t.TempDir() + "/conf"
	check(t, os.WriteFile(config, []byte("of the host"), 0o444))
	unmounts := []func(){s.mount("data", ""), s.mount("conf", config), s.mount("deep/secret", t.TempDir())}
	s.start()
	s.wantFile("conf", "of the host")
	s.wantFile("keep", "stored")
	if _, err := os.Stat(s.path("data/a")); err == nil {
		t.Error("a file was hydrated into a mount")
	}
	s.write("data/new", "x")
	s.write("deep/secret/new", "x")
	check(t, os.WriteFile(config, []byte("changed by the host"), 0))
	s.saved()
	if st := s.e.Status(); !slices.Equal(st.Mounts, []string{"conf", "data", "deep/secret"}) || len(st.Kept) != 0 {
		t.Errorf("mounts %q, kept %+v", st.Mounts, st.Kept)
	}
	s.remove("data/new")
	s.flushed()
	wantKeys(t, s.keys(), "conf", "data/a", "keep", "deep/")
	for key, etag := range s.bucket.ETags(prefix) {
		if old, ok := stored[key]; ok && etag != old {
			t.Errorf("%s was overwritten", key)
		}
	}
	for _, unmount := range unmounts {
		unmount()
	}
	s.remove("deep")
	s.remove("conf")
	s.start()
	s.wantFile("data/a", "stored")
	s.wantFile("conf", "stored")
	s.flushed()
}

// What is mounted over stored files while the sandbox runs hides them, and deletes nothing; nor
// does the unmounting.
func TestMountWhileRunningDeletesNothing(t *testing.T) {
	s := newSandbox(t).start()
	s.write("data/a", "x")
	s.write("file", "x")
	s.saved()
	hidden := t.TempDir() + "/hidden"
	check(t, os.WriteFile(hidden, []byte("of the host"), 0o644))
	for _, unmount := range []func(){s.mount("data", ""), s.mount("file", hidden)} {
		s.saved() // a checkpoint scans
		s.write("data/b", "y")
		s.saved()
		unmount()
		s.saved()
	}
	s.flushed()
	s.want("data/a", "x")
	s.want("file", "x")
	if keys := s.keys(); slices.Contains(keys, "file.conflict") || len(keys) > 3 {
		t.Errorf("keys %q", keys)
	}
}

// A directory of the home's own file system that is mounted over another one hides what is in that from
// every look, before the next scan finds the mount: what a process writes there meanwhile, by its working
// directory, is missing by its path, and not deleted.
func TestFileHiddenByAMountIsNotDeleted(t *testing.T) {
	s := newSandbox(t).start()
	s.write("data/a", "x")
	s.saved()
	inside, err := os.OpenRoot(s.path("data"))
	check(t, err)
	defer inside.Close()
	over := filepath.Join(t.TempDir(), "over")
	check(t, os.Mkdir(over, 0o755))
	unmount := s.mount("data", over)
	check(t, inside.WriteFile("a", []byte("newer"), 0o644))
	s.write("other", "x")
	s.eventually("what came after that is stored", func() bool { _, ok := s.bucket.Get(prefix + "other"); return ok })
	for range 5 {
		check(t, s.e.obs.catchUp(s.ctx(), false))
		time.Sleep(100 * time.Millisecond)
	}
	s.want("data/a", "x")
	s.saved() // the scan finds the mount
	unmount()
	s.flushed()
	s.want("data/a", "newer")
}

// pauseObserver keeps the observer from looking at anything until the function that is returned is called.
func (s *sandbox) pauseObserver() (release func()) {
	s.t.Helper()
	arrived, open := make(chan struct{}), make(chan struct{})
	s.e.obs.do(func() { close(arrived); <-open })
	<-arrived
	return sync.OnceFunc(func() { close(open) })
}

// What is mounted is not the home from that instant on, before any scan has found the mount: what an
// event, a job or a scan under way sees there is neither uploaded nor the reason to delete anything. The mounted
// file systems are the home's own, so that no device number tells.
func TestNothingMountedIsUploadedBeforeAScanFindsIt(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(s *sandbox, from string)
		want []string // besides what was there
	}{
		"a write below it": {act: func(s *sandbox, from string) {
			inside, err := os.OpenRoot(s.path("data"))
			check(s.t, err)
			defer inside.Close()
			s.mount("data", from)
			check(s.t, inside.WriteFile("a", []byte("newer, and hidden"), 0o644))
			check(s.t, inside.WriteFile("theirs", []byte("hidden"), 0o644))
		}},
		"a write to the file below it": {act: func(s *sandbox, from string) {
			f, err := os.OpenFile(s.path("file"), os.O_WRONLY, 0)
			check(s.t, err)
			defer f.Close()
			s.mount("file", from+"/theirs")
			_, err = f.WriteString("newer, and hidden")
			check(s.t, err)
		}},
		"a new mode of the directory below it": {act: func(s *sandbox, from string) {
			f, err := os.Open(s.path("data"))
			check(s.t, err)
			defer f.Close()
			check(s.t, os.Chmod(from, 0o700))
			s.mount("data", from)
			check(s.t, f.Chmod(0o711))
		}},
		"a new directory": {act: func(s *sandbox, from string) {
			release := s.pauseObserver()
			defer release()
			check(s.t, os.Mkdir(s.path("new"), 0o755))
			s.mount("new", from)
		}},
		"a directory moved there": {act: func(s *sandbox, from string) {
			release := s.pauseObserver()
			defer release()
			check(s.t, os.Mkdir(s.path("moved"), 0o755))
			check(s.t, os.Mkdir(s.path("moved/deep"), 0o755))
			s.mount("moved/deep", from)
		}, want: []string{"moved/"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t).start()
			s.write("data/a", "x")
			s.write("file", "x")
			s.saved()
			stored := s.bucket.ETags(prefix)
			from := t.TempDir()
			for _, f := range []string{"a", "theirs"} {
				check(t, os.WriteFile(from+"/"+f, []byte("of the host"), 0o644))
			}
			c.act(s, from)
			s.write("after", "x")
			s.eventually("all that is the home's is stored", func() bool {
				_, ok := s.bucket.Get(prefix + "after")
				s.e.mu.Lock()
				defer s.e.mu.Unlock()
				return ok && s.e.queue.Len() == 0
			})
			s.eventually("status names the mount", func() bool { return len(s.e.Status().Mounts) == 1 })
			check(t, s.e.obs.catchUp(s.ctx(), true))
			s.saved()
			wantKeys(t, s.keys(), slices.Sorted(slices.Values(append([]string{"after", "data/a", "file"}, c.want...)))...)
			for key, etag := range stored {
				if now := s.bucket.ETags(prefix)[key]; now != etag {
					t.Errorf("%s was overwritten", key)
				}
			}
			if st := s.e.Status(); len(st.Failed) != 0 {
				t.Errorf("not saved: %+v", st.Failed)
			}
			s.flushed()
		})
	}
}
