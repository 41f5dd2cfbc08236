package stable

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type home struct {
	t    *testing.T
	path string
	dir  *tree.Dir
	opts Options
}

func newHome(t *testing.T) *home {
	t.Helper()
	path := t.TempDir()
	root, err := tree.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	dir, err := root.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return &home{t, path, dir, Options{Small: 64 << 10, Buffer: func(n int) []byte { return make([]byte, n) }, TempDir: t.TempDir(), CopyMost: 64 << 20}}
}

func (h *home) write(name string, b []byte) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.path, name), b, 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// age gives a file times that are long past. Its ctime cannot be set; that of a file is as
// old as the last change to it.
func (h *home) rest() { time.Sleep(2 * tick) }

func (h *home) open(name string) (*Source, error) {
	h.t.Helper()
	s, err := Open(context.Background(), h.dir, name, h.opts)
	if s != nil {
		h.t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func content(s *Source) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
}

func TestReadsWhole(t *testing.T) {
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 3<<20 + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := newHome(t)
			want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
			h.write("f", want)
			s, err := h.open("f")
			if err != nil {
				t.Fatal(err)
			}
			got, err := content(s)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			sum, err := s.Sum(context.Background())
			if err != nil || sum != sha256.Sum256(want) {
				t.Errorf("sum %x, %v", sum, err)
			}
			if n, err := s.ReadAt(make([]byte, 4), int64(size)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %d, %v", n, err)
			}
			if !s.Racy() || !s.Local().Racy || !s.Local().LooksLike(s.Info.Stat) {
				t.Errorf("just written, and not racy")
			}
		})
	}
}

func TestNotRacyWhenOld(t *testing.T) {
	h := newHome(t)
	h.write("f", []byte("x"))
	s, err := h.open("f")
	if err != nil {
		t.Fatal(err)
	}
	s.began = time.Unix(0, s.Info.Ctime).Add(racy + 1)
	if s.Racy() || s.Local() != s.Info.Stat {
		t.Error("racy")
	}
	s.began = time.Unix(0, s.Info.Ctime).Add(-time.Hour)
	if !s.Racy() {
		t.Error("with a clock that was set back: not racy")
	}
}

// The reader notices every change of a file while it is read, before it gets the bytes.
func TestChangeWhileRead(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"write in place": func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte("new"), 100)
			return err
		},
		"append": func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("new")
			return err
		},
		"truncate": func(p string) error { return os.Truncate(p, 10) },
		"rewrite":  func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("y"), 1<<20), 0o644) },
		"store into a mapping": func(p string) error {
			f, err := os.OpenFile(p, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err != nil {
				return err
			}
			m[7] = 'n'
			return unix.Munmap(m)
		},
		"times put back": func(p string) error {
			st, err := os.Stat(p)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte("new"), 0); err != nil {
				return err
			}
			return os.Chtimes(p, st.ModTime(), st.ModTime())
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.write("f", bytes.Repeat([]byte("x"), 1<<20))
			h.rest()
			s, err := h.open("f")
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1000)
			if _, err := s.ReadAt(b, 0); err != nil {
				t.Fatal(err)
			}
			if err := change(filepath.Join(h.path, "f")); err != nil {
				t.Fatal(err)
			}
			if _, err := s.ReadAt(b, 1000); !errors.Is(err, ErrMoved) {
				t.Errorf("after the change: %v", err)
			}
		})
	}
}

// A page that is dirty when the file is read is written back first, so that the next store
// into it is noticed.
func TestMappedPageIsCleanedFirst(t *testing.T) {
	h := newHome(t)
	h.write("f", bytes.Repeat([]byte("x"), 1<<20))
	f, err := os.OpenFile(filepath.Join(h.path, "f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	m[0] = '1' // the page is dirty and writable from here on
	h.rest()
	s, err := h.open("f")
	if err != nil {
		t.Fatal(err)
	}
	m[0] = '2'
	if _, err := s.ReadAt(make([]byte, 10), 0); !errors.Is(err, ErrMoved) {
		t.Errorf("a store into a page that had been dirty: %v", err)
	}
}

// A log that is appended to all the time is had as it was at one instant.
func TestGrowingFile(t *testing.T) {
	for _, size := range []int{100, 2 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := newHome(t)
			h.write("log", bytes.Repeat([]byte("0123456\n"), size/8))
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				f, _ := os.OpenFile(filepath.Join(h.path, "log"), os.O_WRONLY|os.O_APPEND, 0)
				defer f.Close()
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Microsecond):
						f.WriteString("abcdefg\n")
					}
				}
			}()
			defer func() { close(stop); <-done }()
			s, err := h.open("log")
			if err != nil && !errors.Is(err, ErrMoved) {
				t.Fatal(err)
			}
			if err := s.Settle(context.Background()); err != nil {
				t.Fatal(err)
			}
			got, err := content(s)
			if err != nil {
				t.Fatal(err)
			}
			if len(got)%8 != 0 || strings.Trim(string(got), "0123456abcdefg\n") != "" {
				t.Errorf("%d bytes", len(got))
			}
			if !s.Racy() {
				t.Error("not to be looked at again")
			}
		})
	}
}

// A writer counts up in every block of a file, one after the other; what is read is the
// file as it was at some instant, or was refused.
func TestNeverTorn(t *testing.T) {
	h := newHome(t)
	const blocks, block = 64, 32 << 10
	fill := func(n uint64) []byte {
		b := make([]byte, blocks*block)
		for i := range blocks {
			binary.LittleEndian.PutUint64(b[i*block:], n)
		}
		return b
	}
	h.write("db", fill(0))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		f, _ := os.OpenFile(filepath.Join(h.path, "db"), os.O_WRONLY, 0)
		defer f.Close()
		for n := uint64(1); ; n++ {
			for i := range blocks {
				var b [8]byte
				binary.LittleEndian.PutUint64(b[:], n)
				f.WriteAt(b[:], int64(i*block))
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Microsecond):
				}
			}
			// A rest now and then, in the same number of bytes.
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(n%5) * 10 * time.Millisecond):
			}
		}
	})
	defer func() { close(stop); wg.Wait() }()
	whole, refused := 0, 0
	for range 60 {
		s, err := Open(context.Background(), h.dir, "db", h.opts)
		if err == nil {
			var got []byte
			if got, err = content(s); err == nil {
				checkWhole(t, got, blocks, block)
				whole++
			}
		}
		if errors.Is(err, ErrMoved) {
			if err = s.Settle(context.Background()); err == nil {
				got, err := content(s)
				if err != nil {
					t.Fatal(err)
				}
				checkWhole(t, got, blocks, block)
				whole++
			} else {
				refused++
			}
		}
		if err != nil && !errors.Is(err, ErrNotAtRest) {
			t.Fatal(err)
		}
		s.Close()
	}
	t.Logf("%d whole, %d refused", whole, refused)
}

// checkWhole: at every instant the blocks up to some place have a number, and those after it
// the one before. A mix of two instants has another form.
func checkWhole(t *testing.T, b []byte, blocks, block int) {
	t.Helper()
	first := binary.LittleEndian.Uint64(b)
	last := first
	for i := range blocks {
		n := binary.LittleEndian.Uint64(b[i*block:])
		if n > last || n+1 < first {
			t.Fatalf("torn: block %d has %d, the one before %d, block 0 has %d", i, n, last, first)
		}
		last = n
	}
}

// A file that is written in place whenever its stat was looked at.
func TestNotAtRest(t *testing.T) {
	h := newHome(t)
	h.write("db", make([]byte, 8<<20))
	f, err := os.OpenFile(filepath.Join(h.path, "db"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctime := func() int64 {
		i, err := tree.Fstat(f.Fd())
		if err != nil {
			t.Fatal(err)
		}
		return i.Ctime
	}
	h.opts.Now = func() time.Time { // asked right after the stat
		for before := ctime(); ctime() == before; {
			if _, err := f.WriteAt([]byte{1}, 4<<20); err != nil {
				t.Fatal(err)
			}
		}
		return time.Now()
	}
	s, err := h.open("db")
	if err == nil {
		_, err = s.Sum(context.Background())
	}
	if !errors.Is(err, ErrMoved) {
		t.Errorf("while it is written: %v", err)
	}
	reflink := s.clone() == nil
	if !reflink {
		if err := s.Settle(context.Background()); !errors.Is(err, ErrNotAtRest) {
			t.Errorf("settled: %v", err)
		}
	}
	h.opts.Now = nil
	h.rest()
	if s, err = h.open("db"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sum(context.Background()); err != nil {
		t.Errorf("at rest: %v", err)
	}
}

func TestRefusesWhatIsNoFile(t *testing.T) {
	h := newHome(t)
	if err := unix.Mkfifo(filepath.Join(h.path, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(h.path, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "link", "missing"} {
		if s, err := h.open(name); err == nil || s != nil {
			t.Errorf("%s is opened: %v", name, err)
		}
	}
}

// A file that is renamed, and changed under its new name, is not read under the old one: neither
// by the descriptor that was opened, nor by a clone or a copy, nor through a directory above.
func TestContentWasAtItsName(t *testing.T) {
	const grown = "as it is under the new name"
	moveAway := func(h *home) {
		if err := os.Rename(filepath.Join(h.path, "sub/f"), filepath.Join(h.path, "sub/other")); err != nil {
			h.t.Fatal(err)
		}
		h.write("sub/other", []byte(grown))
	}
	for _, c := range []struct {
		name   string
		opened func(h *home) // when the directory is open
		begun  func(h *home) // when the file is, and was looked at first
		fixed  func(h *home) // when its version is fixed
	}{
		{name: "renamed before it was read", begun: moveAway},
		{name: "replaced before it was read, by what is no file", begun: func(h *home) {
			moveAway(h)
			if err := os.Mkdir(filepath.Join(h.path, "sub/f"), 0o755); err != nil {
				h.t.Fatal(err)
			}
		}},
		{name: "renamed before it was copied", fixed: moveAway},
		{name: "directory renamed", opened: func(h *home) {
			if err := os.Rename(filepath.Join(h.path, "sub"), filepath.Join(h.path, "moved")); err != nil {
				h.t.Fatal(err)
			}
			h.write("moved/f", []byte(grown))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			if err := os.Mkdir(filepath.Join(h.path, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			h.write("sub/f", []byte("x"))
			var err error
			if h.dir, err = h.dir.OpenDir("sub"); err != nil {
				t.Fatal(err)
			}
			defer h.dir.Close()
			if c.opened != nil {
				c.opened(h)
			}
			h.opts.Now = func() time.Time {
				if c.begun != nil {
					c.begun(h)
					c.begun = nil
				}
				return time.Now()
			}
			s, err := h.open("f")
			if err == nil && c.fixed != nil {
				c.fixed(h)
				err = s.Settle(context.Background())
			}
			if err != nil {
				if !errors.Is(err, tree.ErrChanged) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, tree.ErrNotRegular) {
					t.Errorf("it is not said that the name leads elsewhere: %v", err)
				}
				return
			}
			if b, err := content(s); err == nil {
				t.Errorf("%q is read, which was never there", b)
			}
		})
	}
}

// A file that is replaced more often than the kernel's clock ticks is read all the same.
func TestReplacedFileIsRead(t *testing.T) {
	h := newHome(t)
	h.write("f", []byte("version 0"))
	replaced := 0
	h.opts.Now = func() time.Time {
		if replaced < 2 {
			replaced++
			h.write("f.tmp", fmt.Appendf(nil, "version %d", replaced))
			if err := os.Rename(filepath.Join(h.path, "f.tmp"), filepath.Join(h.path, "f")); err != nil {
				t.Fatal(err)
			}
		}
		return time.Now()
	}
	s, err := h.open("f")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := content(s); err != nil || !strings.HasPrefix(string(b), "version ") {
		t.Errorf("%q, %v", b, err)
	}
}
