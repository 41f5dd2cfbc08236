package tree

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

func TestCommit(t *testing.T) {
	r := open(t)
	must(t, os.Mkdir(r.at("d"), 0o755))
	for _, name := range []string{"d/plain", "d/\xff\x01\n%", "d/" + strings.Repeat("n", 255)} {
		p, err := r.Create(name)
		must(t, err)
		p.Write([]byte("con"))
		p.Write([]byte("tent"))
		if got := names(t, r.at("d")); len(got) != 1 || !IsTemp(got[0]) {
			t.Errorf("before Commit there is %q", got)
		}
		i, err := p.Commit(Attr{Mode: 0o107640, Mtime: 1_700_000_000_123_456_789})
		must(t, err)
		must(t, p.Abort())
		if now, err := r.Lstat(name); err != nil || now != i {
			t.Errorf("Commit says %+v, Lstat %+v, %v", i, now, err)
		}
		if i.Mode != unix.S_IFREG|0o1640 || i.Mtime != 1_700_000_000_123_456_789 || i.Size != 7 {
			t.Errorf("mode %o mtime %d size %d", i.Mode, i.Mtime, i.Size)
		}
		if os.Geteuid() == 0 && (i.UID != contract.AgentUID || i.GID != contract.AgentGID) {
			t.Errorf("owner %d:%d", i.UID, i.GID)
		}
		if read(t, r.at(name)) != "content" {
			t.Error("the content changed")
		}
		must(t, os.Remove(r.at(name)))
	}
}

func TestCommitReplacesNothing(t *testing.T) {
	r := open(t)
	write(t, r.at("taken"), "theirs")
	must(t, os.Mkdir(r.at("dir"), 0o755))
	for _, name := range []string{"taken", "dir"} {
		p, err := r.Create(name)
		must(t, err)
		if _, err := p.Commit(Attr{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Commit over %s: %v", name, err)
		}
		p, err = r.CreateSymlink(name, "x")
		must(t, err)
		if _, err := p.Commit(Attr{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Commit of a link over %s: %v", name, err)
		}
	}
	if got := names(t, r.name); !slices.Equal(got, []string{"dir", "taken"}) || read(t, r.at("taken")) != "theirs" {
		t.Errorf("then there is %q", got)
	}
	if _, err := r.Create(strings.Repeat("n", 256)); !errors.Is(err, syscall.ENAMETOOLONG) || !IsRefused(err) {
		t.Errorf("Create of 256 bytes: %v", err)
	}
}

func TestReplace(t *testing.T) {
	r := open(t)
	for what, change := range map[string]func(path string){
		"written":  func(p string) { write(t, p, "changed") },
		"replaced": func(p string) { write(t, p+"2", "theirs"); must(t, os.Rename(p+"2", p)) },
		"chmod":    func(p string) { must(t, os.Chmod(p, 0o600)) },
		"gone":     func(p string) { must(t, os.Remove(p)) },
		"a dir":    func(p string) { must(t, os.Remove(p)); must(t, os.Mkdir(p, 0o755)) },
	} {
		t.Run(what, func(t *testing.T) {
			write(t, r.at("f"), "theirs")
			seen, err := r.Lstat("f")
			must(t, err)
			change(r.at("f"))
			before, _ := r.Lstat("f")
			p, err := r.Create("f")
			must(t, err)
			if _, err := p.Replace(Attr{}, seen); !errors.Is(err, ErrChanged) {
				t.Errorf("Replace: %v, want ErrChanged", err)
			}
			if after, _ := r.Lstat("f"); after != before {
				t.Errorf("it was %+v and is %+v", before, after)
			}
			if n := len(names(t, r.name)); n > 1 {
				t.Errorf("%d names are left", n)
			}
			os.RemoveAll(r.at("f"))
		})
	}
	write(t, r.at("f"), "theirs")
	seen, err := r.Lstat("f")
	must(t, err)
	p, err := r.CreateSymlink("f", "target")
	must(t, err)
	i, err := p.Replace(Attr{Mode: 0o120777, Mtime: 7}, seen)
	must(t, err)
	if now, _ := r.Lstat("f"); now != i || !i.IsSymlink() || i.Mtime != 7 {
		t.Errorf("Replace says %+v, Lstat %+v", i, now)
	}
	if got, _ := r.Readlink("f"); got != "target" || len(names(t, r.name)) != 1 {
		t.Errorf("the link leads to %q, names %q", got, names(t, r.name))
	}
}

// What is written between the last look and the exchange is put back.
func TestExchangePutsBack(t *testing.T) {
	r := open(t)
	write(t, r.at("f"), "new content")
	write(t, r.at("temp"), "fetched")
	now, err := r.Lstat("f")
	must(t, err)
	other := now
	other.Size--
	if err := r.dir.exchanged("temp", "f", other); !errors.Is(err, ErrChanged) {
		t.Errorf("exchange: %v", err)
	}
	if read(t, r.at("f")) != "new content" || read(t, r.at("temp")) != "fetched" {
		t.Error("was not put back")
	}
}

func TestSymlinkTargets(t *testing.T) {
	r := open(t)
	for _, target := range []string{"/etc/passwd", "../../..", "dangling", "self", strings.Repeat("t", 4000), "\xff\n"} {
		p, err := r.CreateSymlink("self", target)
		must(t, err)
		_, err = p.Commit(Attr{Mtime: 1_000_000_001})
		must(t, err)
		if got, err := r.Readlink("self"); got != target || err != nil {
			t.Errorf("Readlink = %q, %v, want %q", got, err, target)
		}
		if i, _ := r.Lstat("self"); i.Mtime != 1_000_000_001 {
			t.Errorf("mtime %d", i.Mtime)
		}
		must(t, r.Remove("self"))
	}
}

func TestAbort(t *testing.T) {
	r := open(t)
	p, err := r.Create("f")
	must(t, err)
	must(t, p.Abort())
	must(t, p.Abort())
	if n := names(t, r.name); len(n) != 0 {
		t.Errorf("left %q", n)
	}
	if _, err := r.Create("no/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create in an absent directory: %v", err)
	}
}

// Written in pieces of any size, a file is what was written, and its
// holes are holes.
func TestSparse(t *testing.T) {
	r := open(t)
	content := make([]byte, 3<<20)
	rnd := rand.New(rand.NewPCG(1, 2))
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			content[i] = byte(rnd.Uint32()) | 1
		}
	}
	fill(0, 10)
	fill(1<<20+4000, 1<<20+9000)
	fill(2<<20, 2<<20+4096)
	for _, piece := range []int{len(content), 1 << 20, 64 << 10, 100_001, 4096, 1000} {
		p, err := r.Create("f")
		must(t, err)
		for off := 0; off < len(content); off += piece {
			_, err := p.WriteAt(content[off:min(off+piece, len(content))], int64(off))
			must(t, err)
		}
		must(t, p.Truncate(int64(len(content))))
		back := make([]byte, len(content))
		_, err = p.ReadAt(back, 0)
		must(t, err)
		if !bytes.Equal(back, content) {
			t.Errorf("pieces of %d: another content", piece)
		}
		i, err := p.Commit(Attr{})
		must(t, err)
		if i.Size != int64(len(content)) {
			t.Errorf("pieces of %d: %d bytes", piece, i.Size)
		}
		if piece >= 64<<10 && i.Blocks*512 > 256<<10 {
			t.Errorf("pieces of %d: %d bytes are allocated, holes were written", piece, i.Blocks*512)
		}
		must(t, r.Remove("f"))
	}
}

// What comes again is written, zeros too: the first time it may have come damaged.
func TestSparseWrittenTwice(t *testing.T) {
	r := open(t)
	p, err := r.Create("f")
	must(t, err)
	const size = 3 << 20
	garbage := bytes.Repeat([]byte{7}, size)
	_, err = p.WriteAt(garbage, 0)
	must(t, err)
	content := make([]byte, size)
	content[size-1] = 1
	for off := 0; off < size; off += 100_000 {
		_, err = p.WriteAt(content[off:min(off+100_000, size)], int64(off))
		must(t, err)
	}
	must(t, p.Truncate(size))
	_, err = p.Commit(Attr{Mode: 0o600})
	must(t, err)
	if got := read(t, r.at("f")); got != string(content) {
		t.Error("what was written first shows through")
	}
}

func FuzzRun(f *testing.F) {
	f.Add([]byte{1, 0x90, 20, 3})
	f.Fuzz(func(t *testing.T, shape []byte) {
		if len(shape) > 64 {
			return
		}
		var b []byte
		for _, c := range shape { // the high bit: data; the rest: how many times 1,000 bytes
			b = append(b, bytes.Repeat([]byte{c >> 7}, int(c&127)*1000)...)
		}
		for at := 0; at < len(b); {
			skip, take := run(b[at:])
			if skip < 0 || take < 0 || skip+take <= 0 || at+skip+take > len(b) {
				t.Fatalf("run = %d, %d of %d", skip, take, len(b)-at)
			}
			if bytes.Count(b[at:at+skip], []byte{0}) != skip {
				t.Fatal("data was skipped")
			}
			at += skip + take
		}
	})
}
