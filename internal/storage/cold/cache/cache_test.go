package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, dir string, limit int64, boot string) *Cache {
	t.Helper()
	c, err := Open(Options{Dir: dir, Max: limit, BootID: boot})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// object is what a fetch would bring.
func object(size int64, seed uint64) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

// fill brings everything that is missing of a range.
func fill(t *testing.T, f *File, object []byte, off, end int64) {
	t.Helper()
	for {
		r, any := f.Missing(off, end)
		if !any {
			return
		}
		for at := r.Off; at < r.End; at += BlockSize {
			if err := f.Fill(at, object[at:min(at+BlockSize, int64(len(object)))]); err != nil {
				t.Fatalf("Fill at %d: %v", at, err)
			}
		}
	}
}

// TestRandomOperations runs one file through everything that may happen to it, against a
// slice of bytes: reads and fills, writes, truncations, evictions, snapshots, kills.
func TestRandomOperations(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomOperations(t, seed) })
	}
}

func randomOperations(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	c := open(t, dir, 256<<20, "b")
	defer func() { c.Close() }()
	base := object(r.Int64N(40*BlockSize), seed) // what is missing comes from here
	want := bytes.Clone(base)
	id := VersionID("k", "e", int64(len(base)))
	f, err := c.Checkout(id, int64(len(base)))
	if err != nil {
		t.Fatal(err)
	}
	var snap *Snapshot
	var snapped []byte
	var sent []Range
	dirty, version := false, 0
	pick := func() (int64, int64) {
		off := r.Int64N(int64(len(want)) + 2*BlockSize)
		return off, off + 1 + r.Int64N(3*BlockSize)
	}
	for step := range 1500 {
		switch op := r.IntN(100); {
		case op < 30: // read
			off, end := pick()
			end = min(end, int64(len(want)))
			if end <= off {
				continue
			}
			fill(t, f, base, off, end)
			got := make([]byte, end-off)
			if n, err := f.ReadAt(got, off); n != len(got) || err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("step %d: read %d of %d: %v", step, n, len(got), err)
			}
			if !bytes.Equal(got, want[off:end]) {
				t.Fatalf("step %d: [%d,%d) reads wrong", step, off, end)
			}
		case op < 60: // write
			if !dirty {
				if err := f.BeginDirty(fmt.Sprint("d", step)); err != nil {
					t.Fatal(err)
				}
				dirty = true
			}
			off, end := pick()
			b := object(end-off, r.Uint64())
			n, err := f.WriteAt(b, off)
			if errors.Is(err, ErrMissing) {
				fill(t, f, base, off, min(end, f.Size()))
				n, err = f.WriteAt(b, off)
			}
			if err != nil || n != len(b) {
				t.Fatalf("step %d: write %d: %v", step, n, err)
			}
			if grow := end - int64(len(want)); grow > 0 {
				want = append(want, make([]byte, grow)...)
			}
			copy(want[off:], b)
		case op < 68: // truncate
			if !dirty {
				continue
			}
			off, _ := pick()
			if err := f.Truncate(off); err != nil {
				t.Fatal(err)
			}
			if off <= int64(len(want)) {
				want = want[:off:off]
			} else {
				want = append(want, make([]byte, off-int64(len(want)))...)
			}
		case op < 76: // begin or check a snapshot
			if snap == nil {
				s, _, err := f.Snapshot(func(size int64, changed []Range, known bool) []Range {
					if sent = changed; !known || r.IntN(2) == 0 {
						sent = []Range{{0, size}}
					}
					return sent
				})
				if errors.Is(err, ErrMissing) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				snap, snapped = s, bytes.Clone(want)
				continue
			}
			// What is not sent is as in the version that it is based on.
			got := append(bytes.Clone(base), make([]byte, max(0, len(snapped)-len(base)))...)[:len(snapped)]
			for _, r := range sent {
				n, err := snap.ReadAt(got[r.Off:r.End], r.Off)
				if errors.Is(err, ErrSnapshot) {
					got = nil
					break
				}
				if int64(n) < r.End-r.Off {
					t.Fatalf("step %d: %d of %d bytes of a snapshot: %v", step, n, r.End-r.Off, err)
				}
			}
			if got != nil && !bytes.Equal(got, snapped) {
				t.Fatalf("step %d: the snapshot changed, or not all that changed was named", step)
			}
			if got != nil && dirty && r.IntN(2) == 0 {
				snap.Stored()
				base = snapped
			}
			snap.Close()
			snap = nil
		case op < 80: // uploaded
			if !dirty || snap != nil {
				continue
			}
			if r.IntN(2) == 0 {
				fill(t, f, base, 0, f.Size())
			}
			base, version = bytes.Clone(want), version+1
			id = VersionID("k", fmt.Sprint(version), int64(len(base)))
			if err := f.MarkClean(id); err != nil {
				t.Fatal(err)
			}
			dirty = false
		case op < 90: // another file needs the room
			if snap == nil {
				if err := c.squeeze(1 << 40); !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
			}
		case op < 95: // closed and opened again
			if snap != nil {
				continue
			}
			name := f.name
			f.Return()
			if dirty {
				f, err = c.OpenDirty(name)
			} else {
				f, err = c.Checkout(id, int64(len(base)))
			}
			if err != nil {
				t.Fatal(err)
			}
		default: // killed
			if snap != nil {
				snap.Close()
				snap = nil
			}
			name := f.name
			c.Close()
			c = open(t, dir, 256<<20, "b")
			if dirty {
				f, err = c.OpenDirty(name)
			} else {
				f, err = c.Checkout(id, int64(len(base)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if f.Size() != int64(len(want)) {
			t.Fatalf("step %d: size %d, not %d", step, f.Size(), len(want))
		}
	}
	if snap != nil {
		snap.Close()
	}
	if dirty {
		f.Discard()
	} else {
		f.Return()
	}
	_ = c.squeeze(1 << 40)
	if used, dirty, _ := c.Used(); used != 0 || dirty != 0 {
		t.Errorf("the books say %d bytes used, %d dirty, of an empty cache", used, dirty)
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	c := open(t, t.TempDir(), 4*BlockSize, "b")
	defer c.Close()
	b := object(BlockSize, 1)
	get := func(i int) *File {
		f, err := c.Checkout(VersionID("k", fmt.Sprint(i), BlockSize), BlockSize)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for i := range 4 {
		f := get(i)
		fill(t, f, b, 0, BlockSize)
		f.Return()
	}
	f := get(0) // the oldest is used again
	fill(t, f, b, 0, BlockSize)
	f.ReadAt(make([]byte, 1), 0)
	f.Return()
	f = get(4)
	fill(t, f, b, 0, BlockSize)
	f.Return()
	for i, want := range []bool{true, false, true, true, true} {
		f := get(i)
		if f.Whole() != want {
			t.Errorf("file %d is here: %v, want %v", i, f.Whole(), want)
		}
		f.Return()
	}
	if used, _, limit := c.Used(); used > limit {
		t.Errorf("%d bytes used of %d", used, limit)
	}
}

func TestDirtyIsNeverEvicted(t *testing.T) {
	c := open(t, t.TempDir(), 8*BlockSize, "b")
	defer c.Close()
	d, err := c.Create("d")
	if err != nil {
		t.Fatal(err)
	}
	content := object(6*BlockSize, 1)
	if _, err := d.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt(content, 6*BlockSize); !errors.Is(err, ErrFull) {
		t.Fatalf("a write past the maximum: %v", err)
	}
	f, err := c.Checkout(VersionID("k", "e", 4*BlockSize), 4*BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	for i := int64(0); i < 4 && failed == nil; i++ {
		failed = f.Fill(i*BlockSize, content[:BlockSize])
	}
	if !errors.Is(failed, ErrFull) && f.Whole() {
		t.Errorf("10 blocks fit into 8")
	}
	got := make([]byte, len(content))
	if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("dirty content changed: %v", err)
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, 1<<30, "boot 1")
	if err := c.Recovered(); err != nil {
		t.Fatal(err)
	}
	b := object(3*BlockSize+5, 1)
	id := VersionID("k", "e", int64(len(b)))
	f, _ := c.Checkout(id, int64(len(b)))
	fill(t, f, b, 0, int64(len(b)))
	d, _ := c.Create("keep")
	d.WriteAt([]byte("not in S3"), 0)
	if _, err := Open(Options{Dir: dir, BootID: "boot 1"}); !errors.Is(err, errInUse) {
		t.Fatalf("a second process opens the same cache: %v", err)
	}
	c.Close()

	for _, boot := range []string{"boot 1", "boot 2"} {
		c = open(t, dir, 1<<30, boot)
		if names, err := c.DirtyNames(); err != nil || len(names) != 1 || names[0] != "keep" {
			t.Errorf("%s: dirty files: %q, %v", boot, names, err)
		}
		d, err := c.OpenDirty("keep")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 9)
		if _, err := d.ReadAt(got, 0); err != nil && !errors.Is(err, io.EOF) || string(got) != "not in S3" {
			t.Errorf("%s: dirty content is %q, %v", boot, got, err)
		}
		f, _ := c.Checkout(id, int64(len(b)))
		if want := boot == "boot 1"; f.Whole() != want || c.Rebooted() == want {
			t.Errorf("%s: clean content kept: %v, rebooted: %v", boot, f.Whole(), c.Rebooted())
		}
		c.Close()
	}
}

// TestManyReadersOfASmallCache has what is read evicted all the time.
func TestManyReadersOfASmallCache(t *testing.T) {
	c := open(t, t.TempDir(), 40<<20, "b")
	defer c.Close()
	const size = 24 << 20
	var wg sync.WaitGroup
	for n := range 4 {
		content := object(size, uint64(n))
		f, err := c.Checkout(VersionID(fmt.Sprint(n), "e", size), size)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(n), 7))
				for range 400 {
					off := r.Int64N(size - 4096)
					got := make([]byte, 4096)
					for {
						_, err := f.ReadAt(got, off)
						if err == nil {
							break
						}
						if !errors.Is(err, ErrMissing) {
							t.Error(err)
							return
						}
						if lack, any := f.Missing(off, off+4096); any {
							if err := f.Fill(lack.Off, content[lack.Off:lack.Off+BlockSize]); err != nil && !errors.Is(err, ErrFull) {
								t.Error(err)
								return
							}
						}
					}
					if !bytes.Equal(got, content[off:off+4096]) {
						t.Errorf("file %d reads wrong at %d", n, off)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if used, _, limit := c.Used(); used > limit {
		t.Errorf("%d bytes used of %d", used, limit)
	}
	var onDisk int64
	filepath.Walk(filepath.Join(c.dir, "partial"), func(_ string, i os.FileInfo, err error) error {
		onDisk++
		return err
	})
	if onDisk < 2 {
		t.Error("nothing was cached")
	}
}

// TestDefaultSize is a tenth of the disk.
func TestDefaultSize(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=100m"); err != nil {
		t.Fatalf("cannot mount a disk of a known size: %v; run the tests as root", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	c, err := Open(Options{Dir: filepath.Join(dir, "cache"), BootID: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, limit := c.Used(); limit != 10<<20 {
		t.Errorf("the cache may have %d bytes of a disk of 100 MiB", limit)
	}
}

// TestRemovedContentIsOffTheBooks, held or not.
func TestRemovedContentIsOffTheBooks(t *testing.T) {
	c := open(t, t.TempDir(), 1<<30, "b")
	defer c.Close()
	for name, remove := range map[string]func(*File) error{
		"discarded": func(f *File) error { f.Discard(); return nil },
		"removed":   func(f *File) error { f.Return(); return c.RemoveDirty(f.name) },
		"set aside": func(f *File) error { f.Return(); _, err := c.SetAside(f.name); return err },
	} {
		f, err := c.Create(name[:3])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(object(100_000, 1), 0); err != nil {
			t.Fatal(err)
		}
		if err := remove(f); err != nil {
			t.Fatal(err)
		}
		if used, dirty, _ := c.Used(); used != 0 || dirty != 0 {
			t.Errorf("%s: %d bytes used, %d of them dirty", name, used, dirty)
		}
	}
}

// TestRekeyedContentIsFound, and can be written, also when every block of it was evicted before.
func TestRekeyedContentIsFound(t *testing.T) {
	for _, evicted := range []bool{false, true} {
		c := open(t, t.TempDir(), 1<<30, "b")
		defer c.Close()
		b := object(2*BlockSize, 1)
		from, to := VersionID("from", "e", int64(len(b))), VersionID("to", "e", int64(len(b)))
		f, err := c.Checkout(from, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		fill(t, f, b, 0, int64(len(b)))
		if evicted {
			_ = c.squeeze(1 << 40)
		}
		c.Rekey(from, to)
		if c.Whole(from) || c.Whole(to) == evicted {
			t.Errorf("evicted: %v; whole under the old key: %v, under the new: %v", evicted, c.Whole(from), c.Whole(to))
		}
		if err := f.BeginDirty("d"); err != nil {
			t.Errorf("evicted: %v; %v", evicted, err)
		}
	}
}
