package cold_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/cold/attrindex"
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

// TestWriteOverMissingBlocksFindsRoomInPart: what counts of a write is what the file has of it afterwards, also in
// the next process, and a block that was not written to its end is still to be fetched.
func TestWriteOverMissingBlocksFindsRoomInPart(t *testing.T) {
	t.Parallel()
	const size = 2*cache.BlockSize + 44<<10 // of which the first block is here
	for name, tt := range map[string]struct {
		off, n, room, least, most int
	}{
		"of a block that is here":         {64 << 10, 192 << 10, 40 << 10, 64 << 10, 64 << 10},
		"of missing blocks, and then one": {cache.BlockSize, cache.BlockSize + 44<<10, 150 << 10, cache.BlockSize, cache.BlockSize},
		"of less than a block":            {2 * cache.BlockSize, 384 << 10, 20 << 10, 0, 0},
		"beyond the end":                  {2 * cache.BlockSize, 384 << 10, 200 << 10, 44 << 10, 383 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t)
			c := openCache(t, disk)
			f, err := c.Checkout(cache.VersionID("key", "etag", size), size)
			if err != nil {
				t.Fatal(err)
			}
			want, body := object(size, 4), object(int64(tt.n), 5)
			if err := errors.Join(f.Fill(0, want[:cache.BlockSize]), f.BeginDirty("f")); err != nil {
				t.Fatal(err)
			}
			leave(t, disk, tt.room)
			n, err := f.WriteAt(body, int64(tt.off))
			if n < tt.least || n > tt.most || (n == 0) != errors.Is(err, cache.ErrFull) || n > 0 && err != nil {
				t.Fatalf("%d bytes with room for %d: %d, %v", tt.n, tt.room, n, err)
			}
			want = append(want[:tt.off:tt.off], append(bytes.Clone(body[:n]), want[min(tt.off+n, size):]...)...)
			f.Return()
			if err := errors.Join(c.Close(), os.Remove(filepath.Join(disk, "ballast"))); err != nil {
				t.Fatal(err)
			}
			if f, err = openCache(t, disk).OpenDirty("f"); err != nil || f.Size() != int64(len(want)) {
				t.Fatalf("the next process finds %d bytes, not %d, %v", f.Size(), len(want), err)
			}
			for lack, any := f.Missing(0, size); any; lack, any = f.Missing(0, size) {
				if err := f.Fill(lack.Off, object(size, 4)[lack.Off:min(lack.Off+cache.BlockSize, size)]); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len(want))
			if m, err := f.ReadAt(got, 0); m != len(want) || err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of it count, and %d read others (first difference at %d): %v", n, m, differ(got, want), err)
			}
		})
	}
}

// TestIndexOnFullDiskTellsNoOlderAttributes: those of an object of which only the attributes have changed are not
// found any more when the new ones find no room.
func TestIndexOnFullDiskTellsNoOlderAttributes(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*attrindex.Index) error{
		"in the log":   func(*attrindex.Index) error { return nil },
		"in the table": func(x *attrindex.Index) error { return x.Fold(attrindex.Final) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t)
			x := openIndex(t, disk)
			e := attrindex.Entry{Key: "f", ETag: "0123456789abcdef0123456789abcdef", Size: 9, Modified: 1 << 30, Mode: 0o640}
			if err := errors.Join(x.Put(e), prepare(x)); err != nil {
				t.Fatal(err)
			}
			leave(t, disk, 0)
			e.Mode, e.Target = 0o700, strings.Repeat("t", 4095)
			var refused error
			for ; refused == nil && e.Mtime < 1000; e.Mtime++ { // until what is set aside is used up
				refused = x.Put(e)
			}
			if e.Mtime--; !errors.Is(refused, unix.ENOSPC) {
				t.Fatalf("on a full disk: %v", refused)
			}
			if got, ok := x.Find("f"); !ok || got != e {
				t.Errorf("this process finds mode %o, %v", got.Mode, ok)
			}
			if err := errors.Join(x.Close(), os.Remove(filepath.Join(disk, "ballast"))); err != nil {
				t.Fatal(err)
			}
			if got, ok := openIndex(t, disk).Find("f"); ok && got != e {
				t.Errorf("the next process finds mode %o", got.Mode)
			}
		})
	}
}

func openIndex(t *testing.T, dir string) *attrindex.Index {
	t.Helper()
	x, err := attrindex.Open(dir, func(do func() error) error { return do() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

// leave fills a disk but for some bytes.
func leave(t *testing.T, disk string, room int) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	err := os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, int(st.Bavail)*int(st.Bsize)-room), 0o600)
	if err != nil && (room > 0 || !errors.Is(err, unix.ENOSPC)) {
		t.Fatal(err)
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

// TestReadsOnFullDisk give what is here and what is in S3, and keep nothing of it.
func TestReadsOnFullDisk(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	body := random(size)
	for name, tt := range map[string]struct {
		change func(f *os.File) error
		want   string
	}{
		"of a file that is not here": {func(*os.File) error { return nil }, body},
		"of a changed one": {func(f *os.File) error {
			_, err := f.WriteAt([]byte("changed"), size/2+5)
			return err
		}, body[:size/2+5] + "changed" + body[size/2+12:]},
		"of one that was made shorter, and longer again": {func(f *os.File) error {
			_, err := f.WriteAt([]byte("end"), size+10)
			return errors.Join(f.Truncate(size/2+5), f.Truncate(size), err)
		}, body[:size/2+5] + string(make([]byte, size/2-5))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := testbed.Hold()
			b := newBed(t, throughProxy, cacheOnDiskOf12MiB)
			b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: gate}) // the change stays here
			defer gate.Open()
			b.bucket.Put(keys+"f", body, nil)
			f := open(t, b.path("f"), os.O_RDWR)
			if err := tt.change(f); err != nil {
				t.Fatal(err)
			}
			leave(t, b.disk(), 0)
			used := b.status().CacheBytes
			if got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40)); err != nil || string(got) != tt.want {
				t.Errorf("%d bytes, not %d, or others (first difference at %d): %v", len(got), len(tt.want), differ(got, []byte(tt.want)), err)
			}
			if now := b.status().CacheBytes; now != used {
				t.Errorf("the cache has %d bytes, and had %d", now, used)
			}
		})
	}
}

// TestFullDiskTakesFromCleanContent what the journal and the index of attributes need; and a process starts on it.
func TestFullDiskTakesFromCleanContent(t *testing.T) {
	t.Parallel()
	b := newBed(t, cacheOnDiskOf12MiB)
	b.bucket.Put(keys+"clean", random(6<<20), nil)
	b.sh(`cat clean > /dev/null`)
	leave(t, b.disk(), 0)
	const links = 300 // with targets that the books of neither have set aside room for
	target := strings.Repeat("t", 4000)
	b.sh(fmt.Sprintf(`for i in {1..%d}; do ln -s %s link-$i; done`, links, target))
	b.sync()
	b.kill()
	b.start()
	for i := range links {
		if got, err := os.Readlink(b.path(fmt.Sprint("link-", i+1))); err != nil || got != target {
			t.Fatalf("link %d points to %.10q...: %v", i+1, got, err)
		}
	}
}
