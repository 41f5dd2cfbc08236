package cold_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestReadsThroughFaults: what comes torn, cut off or changed on its way is fetched again, and a
// program reads what S3 has or is told that it cannot.
func TestReadsThroughFaults(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, ttl(0))
	small, big := random(100_000), random(20<<20)
	for i, f := range []struct {
		what string
		do   testbed.Action
	}{
		{"503", testbed.Refuse(503, "SlowDown")}, {"500", testbed.Refuse(500, "InternalError")},
		{"reset before the answer", testbed.ResetBefore()}, {"reset in the body", testbed.ResetResponse(50_000)},
		{"body cut short", testbed.Truncate(50_000)}, {"slow", testbed.Slow(50 * time.Millisecond)},
		// Whole objects carry a checksum. A range has none in S3: there TCP's and TLS's have to do.
		{"body changed on its way", testbed.CorruptResponse(70_000)},
	} {
		for kind, body := range map[string]string{"small": small, "big": big} {
			if kind == "big" && f.what == "body changed on its way" {
				continue
			}
			name := fmt.Sprintf("%s%d", kind, i)
			b.bucket.Put(keys+name, body, nil)
			times := 2
			if f.what == "slow" {
				times = 1000
			}
			fault := b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/" + name}, Times: times, Do: f.do})
			got, err := os.ReadFile(b.path(name))
			if err != nil || string(got) != body {
				t.Errorf("%s, %s: %d bytes, %v", f.what, kind, len(got), err)
			}
			if fault.Hits() == 0 {
				t.Errorf("%s, %s: the fault was never met", f.what, kind)
			}
			fault.Remove()
		}
	}
}

// TestDeniedReads: one key may not be read. It says so at once, and the rest is not touched by it.
func TestDeniedReads(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	b.bucket.Put(keys+"secret", "x", nil)
	b.bucket.Put(keys+"open", "y", nil)
	b.proxy.Add(testbed.Fault{When: testbed.Match{Suffix: "/secret"}, Do: testbed.Refuse(403, "AccessDenied")})
	if _, err := os.ReadFile(b.path("secret")); !errors.Is(err, syscall.EACCES) {
		t.Errorf("it says %v", err)
	}
	if got := b.sh(`cat open; ls; mv open moved; cat moved`); got != "yopen\nsecret\ny" {
		t.Errorf("the rest says %q", got)
	}
	b.sync()
	b.bucket.Want(keys+"moved", "y")
}

// TestBucketGone: reads of what is not cached fail, writes are kept and named, and go up when there is
// a bucket again.
func TestBucketGone(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, ttl(0))
	b.bucket.Put(keys+"cached", "cached", nil)
	b.bucket.Put(keys+"other", "other", nil)
	b.sh(`cat cached; ls`)
	gone := b.proxy.Add(testbed.Fault{Do: testbed.Refuse(404, "NoSuchBucket")})
	f, err := os.OpenFile(b.path("new"), os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		f.Close()
		t.Error("a name was free although nobody could say so")
	}
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("creating a file: %v", err)
	}
	if _, err := os.ReadFile(b.path("other")); !errors.Is(err, syscall.EIO) {
		t.Errorf("reading what is not cached: %v", err)
	}
	gone.Remove()
	w := open(t, b.path("kept"), os.O_RDWR|os.O_CREATE)
	gone = b.proxy.Add(testbed.Fault{Do: testbed.Refuse(404, "NoSuchBucket")})
	if _, err := w.WriteString("kept"); err != nil {
		t.Errorf("writing to what is open: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if left := b.flush(); len(left) != 1 || left[0].Path != b.path("kept") {
		t.Errorf("left: %+v", left)
	}
	gone.Remove()
	b.sync()
	b.bucket.Want(keys+"kept", "kept")
}

// TestFullDisk has the disk below the cache fill up, before the cache's own limit is reached: the
// writer is told, what was acknowledged is whole, and once S3 is back it goes up.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, shortPatience, func(b *bed) {
		// In this process's own mount namespace: it goes with it.
		disk := filepath.Join(b.state, "disk")
		if err := errors.Join(os.Mkdir(disk, 0o700), unix.Mount("tmpfs", disk, "tmpfs", 0, "size=6m,mode=700")); err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
		b.conf.Config.Cold.CachePath = filepath.Join(disk, "cache")
	})
	b.sh(`ls`)
	b.proxy.Away()
	kept := map[string]string{}
	for i := 0; ; i++ {
		if i == 40 {
			t.Fatal("20 MB fit on a disk of 6")
		}
		name, body := fmt.Sprintf("f%02d", i), random(500_000+i)
		err := os.WriteFile(b.path(name), []byte(body), 0o644)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kept[name] = body
	}
	if len(kept) < 5 {
		t.Errorf("%d files of 500,000 bytes fit on a disk of 6 MB", len(kept))
	}
	for name, body := range kept {
		if got, err := os.ReadFile(b.path(name)); err != nil || string(got) != body {
			t.Errorf("%s has %d bytes: %v", name, len(got), err)
		}
	}
	b.proxy.Back()
	b.sync()
	for name, body := range kept {
		b.bucket.Want(keys+name, body)
	}
	// There is room again: what is clean can go.
	if err := os.WriteFile(b.path("after"), []byte(random(3_000_000)), 0o644); err != nil {
		t.Errorf("a write after S3 is back: %v", err)
	}
	b.sync()
}

// TestNewObjectsAppear within the time to live, and without a program that lists the directory again.
func TestNewObjectsAppear(t *testing.T) {
	t.Parallel()
	b := newBed(t, ttl(300*time.Millisecond))
	b.bucket.Put(keys+"d/old", "1", nil)
	b.sh(`ls d; cat d/old`)
	b.bucket.Put(keys+"d/new", "2", nil)
	b.bucket.Put(keys+"d/old", "changed", nil)
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); {
			if time.Now().After(end) {
				t.Fatalf("%s for a minute, 200 times the time to live", what)
			}
			time.Sleep(10 * time.Millisecond) // nothing tells of what others do in S3
		}
	}
	reads := func(name, want string) func() bool {
		return func() bool { got, err := os.ReadFile(b.path(name)); return err == nil && string(got) == want }
	}
	await("a new object does not appear", reads("d/new", "2"))
	await("a changed object is as it was", reads("d/old", "changed"))
	b.bucket.Delete(keys + "d/new")
	await("a deleted object stays", func() bool { _, err := os.Stat(b.path("d/new")); return os.IsNotExist(err) })
}

// TestReadersNeverMixVersions reads an object that is replaced all the time: each read of it from one
// open is of one version, or fails with ESTALE.
func TestReadersNeverMixVersions(t *testing.T) {
	t.Parallel()
	b := newBed(t, ttl(0))
	body := func(i int) string { return string(repeat(byte('a'+i%26), 3<<20+i)) }
	b.bucket.Put(keys+"f", body(0), nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 1; i < 25; i++ {
			b.bucket.Put(keys+"f", body(i), nil)
		}
	}()
	whole, stale := 0, 0
	for done := false; !done; {
		select {
		case <-ended:
			done = true // and once more, of the last
		default:
		}
		f, err := os.Open(b.path("f"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		f.Close()
		for i := range got {
			if got[i] != got[0] {
				t.Fatalf("the versions %c and %c are mixed at %d", got[0], got[i], i)
			}
		}
		switch {
		case errors.Is(err, syscall.ESTALE):
			stale++
		case err != nil:
			t.Fatal(err)
		default:
			if want := 3<<20 + int(got[0]-'a'); len(got) != want {
				t.Fatalf("version %c has %d bytes, not %d", got[0], len(got), want)
			}
			whole++
		}
	}
	t.Logf("%d reads of a whole version, %d that ended with ESTALE", whole, stale)
	if whole == 0 {
		t.Error("no read came to its end")
	}
}

func repeat(c byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = c
	}
	return b
}

// TestWritesAfterUploadToFullDisk: there is no room to give content that went to S3 its clean name, and
// later there is room again. What is written and synced then survives a kill.
func TestWritesAfterUploadToFullDisk(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy)
	f := open(t, b.path("f"), os.O_RDWR|os.O_CREATE)
	if _, err := f.WriteString("first"); err != nil {
		t.Fatal(err)
	}
	// A file in the way of the directory: rename(2) fails, as it does on a full disk.
	clean := filepath.Join(b.cacheDir(), "clean")
	if err := errors.Join(os.RemoveAll(clean), os.WriteFile(clean, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	b.sync()
	b.bucket.Want(keys+"f", "first")
	if err := errors.Join(os.Remove(clean), os.Mkdir(clean, 0o700)); err != nil {
		t.Fatal(err)
	}
	if got, err := readAt(t, f, 0, 10); err != nil || string(got) != "first" {
		t.Errorf("reads %q, %v", got, err)
	}
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: testbed.Refuse(503, "SlowDown")})
	if _, err := f.WriteAt([]byte("second"), 5); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	b.kill()
	b.proxy.ClearFaults()
	b.start()
	if got, err := os.ReadFile(b.path("f")); err != nil || string(got) != "firstsecond" {
		t.Errorf("after a kill it reads %q, %v", got, err)
	}
	b.sync()
	b.bucket.Want(keys+"f", "firstsecond")
}
