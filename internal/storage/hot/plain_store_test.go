package hot

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// A store that ignores conditions: each is looked after before the write, nothing is copied in
// S3, and all else is as ever.
func TestStoreWithoutConditions(t *testing.T) {
	s := newSandbox(t)
	s.probe = true
	s.proxy.Add(testbed.Fault{Do: testbed.StripConditions()})
	s.start()
	if c := s.store.Conditional(); c.Put || c.Delete || c.Copy {
		t.Fatalf("the store is found to honour %+v", c)
	}
	s.write("a", "one")
	s.write("gone", "x")
	s.write("from/large", strings.Repeat("large ", 50_000))
	s.saved()
	s.proxy.Forget()
	s.write("a", "two")
	s.remove("gone")
	s.rename("from", "to")
	s.saved()
	s.want("a", "two")
	s.want("to/large", strings.Repeat("large ", 50_000))
	wantKeys(t, s.keys(), "a", "to/large")
	if n := s.proxy.Count("COPY"); n != 0 {
		t.Errorf("%d copies", n)
	}
	if writes, looks := s.proxy.Count("PUT")+s.proxy.Count("DELETE"), s.proxy.Count("HEAD"); looks < writes {
		t.Errorf("%d writes, and only %d looks before them", writes, looks)
	}

	// What others wrote is seen all the same.
	s.bucket.Put(prefix+"a", "theirs", nil)
	s.bucket.Put(prefix+"new", "theirs", nil)
	s.write("a", "three")
	s.write("new", "ours")
	s.saved()
	s.want("a", "theirs")
	s.want("new", "theirs")
	if a, b := s.copies("a"), s.copies("new"); len(a) != 1 || len(b) != 1 {
		t.Errorf("conflict copies %q %q", a, b)
	}
	s.flushed()
	s.start().saved()
	if n := s.e.Status().Conflicts; n != 0 {
		t.Errorf("%d conflicts after a restart", n)
	}
}

// A renamed directory is copied inside S3: no content goes over the network. (The embedded server
// ignores a copy's conditions, so that a session does not copy there; no probe has asked it here.)
func TestRenameUploadsNothing(t *testing.T) {
	s := newSandbox(t).start()
	if !s.store.Conditional().Copy {
		t.Fatal("what was not probed is not taken to honour conditions")
	}
	content := strings.Repeat("0123456789abcdef", 1<<16)
	s.write("videos/a", content)
	s.write("videos/b", content[1:])
	s.saved()
	s.proxy.Forget()
	uploaded := s.e.Status().UploadBytes
	s.rename("videos", "films")
	s.saved()
	if n := s.e.Status().UploadBytes - uploaded; n != 0 || s.proxy.Count("COPY") != 2 || s.proxy.Count("PUT") != 0 {
		t.Errorf("%d bytes, %d copies, %d uploads", n, s.proxy.Count("COPY"), s.proxy.Count("PUT"))
	}
	wantKeys(t, s.keys(), "films/a", "films/b")
	s.want("films/a", content)
}

// The first rename of a large file that was hydrated is a copy inside S3 too, though its hash was not taken
// while it came.
func TestLargeHydratedFileIsRenamedInsideS3(t *testing.T) {
	s := newSandbox(t).start()
	content := strings.Repeat("0123456789abcdef", 17<<16)
	s.write("film", content)
	s.saved()
	s.nextSecond()
	s.nextSecond()
	s.write("b", "x") // an answer of a later second, so that the film is old enough to be vouched for
	s.saved()
	s.flushed()

	s.home, s.cfg.StateDir = t.TempDir(), t.TempDir()
	s.cfg.HotPath = s.home
	s.start()
	s.wantFile("film", content)
	s.proxy.Forget()
	s.rename("film", "movie")
	s.saved()
	if n := s.proxy.Count("PART") + s.proxy.Count("PUT"); n != 0 || s.proxy.Count("COPY") != 1 {
		t.Errorf("%d copies, %d uploads", s.proxy.Count("COPY"), n)
	}
	s.want("movie", content)
	wantKeys(t, s.keys(), "b", "movie")
}
