package cold_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/testbed"
)

// smallDisk is a disk of 1 MiB, in this process's own mount namespace.
func smallDisk(t *testing.T) string {
	t.Helper()
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Fatalf("cannot mount: %v; run the tests as root", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	return disk
}

func openCache(t *testing.T, disk string) *cache.Cache {
	t.Helper()
	c, err := cache.Open(cache.Options{Dir: filepath.Join(disk, "cache"), Max: 1 << 30, BootID: "boot"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestPartOfWriteFindsRoom on a disk that becomes full in the midst of it: what was written counts, and no more.
func TestPartOfWriteFindsRoom(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	c := openCache(t, disk)
	f, err := c.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	body := object(1200<<10, 3)
	if n, err := f.WriteAt(body[:800<<10], 0); n != 800<<10 || err != nil {
		t.Fatal(n, err)
	}
	n, err := f.WriteAt(body[800<<10:], 800<<10)
	if n == 0 || n == 400<<10 || err != nil {
		t.Fatalf("400 KiB on a disk with room for some 200: %d, %v", n, err)
	}
	end := 800<<10 + n
	if m, err := f.WriteAt(body[end:], int64(end)); m != 0 || !errors.Is(err, cache.ErrFull) {
		t.Errorf("and the rest: %d, %v", m, err)
	}
	got := make([]byte, len(body))
	if m, _ := f.ReadAt(got, 0); m != end || f.Size() != int64(end) || !bytes.Equal(got[:m], body[:end]) {
		t.Errorf("it has %d bytes, and reads %d; %d were written", f.Size(), m, end)
	}
	info, err := os.Stat(filepath.Join(disk, "cache", "dirty", "f"))
	if err != nil || info.Size() != int64(end) {
		t.Errorf("on the disk are %v, %v", info.Size(), err)
	}
}

// TestRefusedWriteKeepsSize: a write that found room for a part of the blocks that it was to make local is refused
// as a whole, and the next process finds the size that the file had.
func TestRefusedWriteKeepsSize(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	c := openCache(t, disk)
	const size = 2*cache.BlockSize + 44<<10
	f, err := c.Checkout(cache.VersionID("key", "etag", size), size)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.BeginDirty("f"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 800<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := f.WriteAt(make([]byte, 384<<10), 2*cache.BlockSize); n != 0 || !errors.Is(err, cache.ErrFull) {
		t.Fatalf("384 KiB on a disk with room for some 200: %d, %v", n, err)
	}
	if f.Size() != size {
		t.Errorf("its size is %d", f.Size())
	}
	f.Return()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	f, err = openCache(t, disk).OpenDirty("f")
	if err != nil || f.Size() != size || f.Whole() {
		t.Errorf("the next process finds %d bytes, not %d, %v", f.Size(), size, err)
	}
}

// TestRemovedFileWaitsForRoom: what is not here of a file that is open and was removed is fetched before its object
// goes, when the cache has room for it.
func TestRemovedFileWaitsForRoom(t *testing.T) {
	t.Parallel()
	b := newBed(t, throughProxy, cacheMax(2<<20))
	body := random(1 << 20)
	b.bucket.Put(keys+"f", body, nil)
	b.sh(`ls`)
	gate := testbed.Hold()
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate})
	if err := os.WriteFile(b.path("filler"), []byte(random(1500<<10)), 0o644); err != nil {
		t.Fatal(err)
	}
	f := open(t, b.path("f"), os.O_RDONLY)
	b.sh(`rm f`)
	b.proxy.WaitFor(t.Context(), testbed.Match{Verb: "GET", Suffix: "/f"}, 1)
	if left := b.flushing(func() {}); len(left) != 2 {
		t.Errorf("left: %+v", left)
	}
	gate.Open()
	b.sync()
	b.bucket.WantNone(keys + "f")
	if got, err := io.ReadAll(f); err != nil || string(got) != body {
		t.Errorf("it reads %d bytes, %v", len(got), err)
	}
}
