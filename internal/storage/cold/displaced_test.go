package cold_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestWritesToReplacedFile: a file is open, another client replaces or deletes its object, and a listing
// tells so. What is written then is kept under another name, or the write fails.
func TestWritesToReplacedFile(t *testing.T) {
	old := random(300_000)
	for name, c := range map[string]struct {
		theirs func(*bed)
		open   int
		write  func(*os.File) error
		want   string // of the conflict copy; empty: the write fails
	}{
		"replaced": {func(b *bed) { b.bucket.Put(keys+"d/f", "theirs", nil) }, os.O_RDWR,
			func(f *os.File) error { _, err := f.WriteAt([]byte("ours"), 0); return err }, "ours" + old[4:]},
		"appended to": {func(b *bed) { b.bucket.Put(keys+"d/f", "theirs", nil) }, os.O_RDWR | os.O_APPEND,
			func(f *os.File) error { _, err := f.WriteString("ours"); return err }, old + "ours"},
		"truncated": {func(b *bed) { b.bucket.Put(keys+"d/f", "theirs", nil) }, os.O_RDWR,
			func(f *os.File) error { return f.Truncate(5) }, old[:5]},
		"deleted": {func(b *bed) { b.bucket.Delete(keys + "d/f"); b.bucket.Put(keys+"d/g", "theirs", nil) }, os.O_RDWR,
			func(f *os.File) error { _, err := f.WriteAt([]byte("ours"), 0); return err }, "ours" + old[4:]},
		"deleted with its directory": {func(b *bed) { b.bucket.Delete(keys + "d/f") }, os.O_RDWR,
			func(f *os.File) error { _, err := f.WriteAt([]byte("ours"), 0); return err }, "ours" + old[4:]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, ttl(0))
			b.bucket.Put(keys+"d/f", old, nil)
			b.sh(`cat d/f > /dev/null`)
			f := open(t, b.path("d/f"), c.open)
			c.theirs(b)
			b.sh(`ls -R`)
			if err := c.write(f); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				t.Fatal(err)
			}
			b.sync()
			copies := 0
			for k, o := range b.bucket.Objects(keys) {
				if strings.Contains(k, "d/f.conflict-sb-") {
					copies++
					if string(o.Body) != c.want {
						t.Errorf("%s has %d bytes, first difference at %d", k, len(o.Body), differ(o.Body, []byte(c.want)))
					}
				} else if string(o.Body) != "theirs" {
					t.Errorf("%s is not theirs any more", k)
				}
			}
			if copies != 1 {
				t.Errorf("%d conflict copies", copies)
			}
			if got := b.sh(`cat d/f.conflict-*`); got != strings.TrimRight(c.want, "\n") {
				t.Errorf("the conflict copy reads as %d bytes", len(got))
			}
		})
	}
}

// TestWriteToReplacedFileThatIsNotHere: what cannot be kept is not acknowledged.
func TestWriteToReplacedFileThatIsNotHere(t *testing.T) {
	t.Parallel()
	b := newBed(t, ttl(0))
	b.bucket.Put(keys+"f", random(4<<20), nil)
	f := open(t, b.path("f"), os.O_RDWR)
	b.bucket.Put(keys+"f", "theirs", nil)
	b.sh(`ls`)
	if _, err := f.WriteAt([]byte("ours"), 0); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("a write to a file whose content is nowhere: %v", err)
	}
	if err := f.Chmod(0o600); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("fchmod: %v", err)
	}
	if got := b.sh(`cat f; truncate -s 3 f; cat f`); got != "theirsthe" {
		t.Errorf("by its path it reads %q", got)
	}
}
