package tarstream

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

var longAgo = time.Date(2011, 2, 3, 4, 5, 6, 789012345, time.UTC)

// plant makes a tree of everything that is kept.
func plant(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	big := make([]byte, 3<<20+7)
	rand.Read(big)
	for _, d := range []string{"", "empty", "sub", "sub/closed", strings.Repeat("d", 200), "sub/.hidden"} {
		must(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for name, content := range map[string][]byte{
		"plain": []byte("plain\n"), "nothing": nil, "sub/big": big, "sub/closed/inner": []byte("x"), "sub/.hidden/f": []byte("f"),
		"bytes \xff\xfe\n\x1b[2J": []byte("odd"), strings.Repeat("d", 200) + "/" + strings.Repeat("f", 200): []byte("long"), "zeros": make([]byte, 4096), "-dash": []byte("dash"),
	} {
		must(os.WriteFile(filepath.Join(dir, name), content, 0o640))
	}
	must(os.Chmod(filepath.Join(dir, "plain"), 0o4711))
	must(os.Link(filepath.Join(dir, "plain"), filepath.Join(dir, "sub/second")))
	must(os.Symlink("../nowhere", filepath.Join(dir, "sub/dangling")))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "absolute")))
	must(os.Symlink("sub", filepath.Join(dir, "todir")))
	must(os.Chmod(filepath.Join(dir, "sub/closed"), 0o500))
	at := unix.NsecToTimespec(longAgo.UnixNano())
	var names []string
	must(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error { names = append(names, path); return err }))
	for _, n := range slices.Backward(names) {
		must(unix.UtimesNanoAt(unix.AT_FDCWD, n, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// shape says what is in a tree, without its top's own attributes.
func shape(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	inodes := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%q %s %d", rel, info.Mode()&^(fs.ModeSetuid|fs.ModeSetgid), info.ModTime().UnixNano())
		st := info.Sys().(*syscall.Stat_t)
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", len(b), bytes.Clone(b[:min(len(b), 64)]))
			if st.Nlink > 1 {
				if first, ok := inodes[st.Ino]; ok {
					line += " = " + first
				} else {
					inodes[st.Ino] = rel
				}
			}
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			line += " -> " + to
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func send(src, dst string) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(Pack(w, src, PackOptions{})) }()
	err := Unpack(r, dst, UnpackOptions{})
	r.CloseWithError(err)
	return err
}

// Whichever way a tree is named, what arrives is the tree, where cp(1) would put it.
func TestWhereATreeGoes(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	plant(t, src)
	want := shape(t, src)
	for _, tc := range []struct{ from, to, at string }{
		{"src", "new", "new"},
		{"src", "new/", "new"},
		{"src/", "new", "new"},
		{"src/.", "new", "new"},
		{"src", "there", "there/src"},
		{"src", "there/", "there/src"},
		{"src", "there/.", "there/src"},
		{"src/.", "there", "there"},
		{"src", "link", "there/src"},
		{"src/.", "link/", "there"},
	} {
		in := t.TempDir()
		os.Mkdir(filepath.Join(in, "there"), 0o755)
		os.Symlink("there", filepath.Join(in, "link"))
		from := filepath.Dir(src) + "/" + tc.from
		for _, again := range []bool{false, true} { // over itself as well, where that is the same place
			if again && tc.at == "new" && !contents(tc.from) {
				continue
			}
			if err := send(from, in+"/"+tc.to); err != nil {
				t.Errorf("%s to %s: %v", tc.from, tc.to, err)
			} else if got := shape(t, filepath.Join(in, tc.at)); !slices.Equal(got, want) {
				t.Errorf("%s to %s:\n%s\nwant\n%s", tc.from, tc.to, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			os.Chmod(filepath.Join(in, tc.at, "sub/closed"), 0o700)
		}
	}
}

func TestWhereAFileGoes(t *testing.T) {
	for _, tc := range []struct{ to, at, wrong string }{
		{"new", "new", ""},
		{"there", "there/f", ""},
		{"there/", "there/f", ""},
		{"there/.", "there/f", ""},
		{"file", "file", ""},
		{"linktofile", "file", ""},
		{"linktodir", "there/f", ""},
		{"new/", "", "there is no such directory"},
		{"file/", "", "not a directory"},
		{"none/new", "", "no such file or directory"},
		{"there/dir", "there/dir/f", ""},
		{"taken", "", "is a directory"},
		{"dangling", "", "leads nowhere"},
		{"fifo", "", "neither a file nor a link"},
		{"", "", "no such file"},
	} {
		in := t.TempDir()
		for _, d := range []string{"there/dir", "taken/f"} {
			os.MkdirAll(filepath.Join(in, d), 0o755)
		}
		os.WriteFile(filepath.Join(in, "file"), []byte("old and longer"), 0o600)
		os.Symlink("file", filepath.Join(in, "linktofile"))
		os.Symlink("there", filepath.Join(in, "linktodir"))
		os.Symlink("nowhere", filepath.Join(in, "dangling"))
		syscall.Mkfifo(filepath.Join(in, "fifo"), 0o600)
		src := filepath.Join(in, "f")
		os.WriteFile(src, []byte("new"), 0o751)
		os.Chmod(src, 0o751)
		to := in + "/" + tc.to
		if tc.to == "" {
			to = filepath.Join(in, "none", "x", "y")
		}
		err := send(src, to)
		if tc.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("to %q: %v, want %q", tc.to, err, tc.wrong)
			}
			continue
		}
		b, _ := os.ReadFile(filepath.Join(in, tc.at))
		st, serr := os.Stat(filepath.Join(in, tc.at))
		if err != nil || string(b) != "new" || serr != nil || st.Mode() != 0o751 {
			t.Errorf("to %q: %v, %q, %v", tc.to, err, b, st)
		}
	}
}

func TestATreeOntoAFile(t *testing.T) {
	in := t.TempDir()
	os.MkdirAll(filepath.Join(in, "d/sub"), 0o755)
	os.WriteFile(filepath.Join(in, "file"), nil, 0o600)
	os.MkdirAll(filepath.Join(in, "e/d"), 0o755)
	os.WriteFile(filepath.Join(in, "e/d/sub"), nil, 0o600)
	for _, to := range []string{"file", "e"} {
		if err := send(in+"/d", filepath.Join(in, to)); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("to %s: %v", to, err)
		}
	}
}

func TestWhatIsNotPacked(t *testing.T) {
	in := t.TempDir()
	syscall.Mkfifo(filepath.Join(in, "fifo"), 0o600)
	os.Symlink("real", filepath.Join(in, "link"))
	os.WriteFile(filepath.Join(in, "real"), []byte("real"), 0o600)
	var out bytes.Buffer
	var notes []string
	if err := Pack(&out, in, PackOptions{Note: func(name, _ string) { notes = append(notes, filepath.Base(name)) }}); err != nil || !slices.Equal(notes, []string{"fifo"}) {
		t.Errorf("%v, noted %v", err, notes)
	}
	for _, name := range []string{in + "/none", "", in + "/real/", in + "/real/.", in + "/link/"} {
		if err := Pack(io.Discard, name, PackOptions{}); err == nil {
			t.Errorf("%q is packed", name)
		}
	}
	// A link is a link, unless what it leads to is asked for; its name is the link's.
	for follow, want := range map[bool]fs.FileMode{false: fs.ModeSymlink, true: 0} {
		out.Reset()
		err := Pack(&out, in+"/link", PackOptions{Follow: follow})
		to := filepath.Join(t.TempDir(), "x")
		os.Mkdir(to, 0o755)
		err = errors.Join(err, Unpack(&out, to, UnpackOptions{}))
		if st, serr := os.Lstat(filepath.Join(to, "link")); err != nil || serr != nil || st.Mode().Type() != want {
			t.Errorf("follow %t: %v, %v", follow, st, err)
		}
	}
}

// growing is written to while it is read, or cut.
type onWrite struct {
	io.Writer
	do func()
}

func (w *onWrite) Write(b []byte) (int, error) {
	if w.do != nil {
		w.do()
		w.do = nil
	}
	return w.Writer.Write(b)
}

func TestAFileThatBecomesShorter(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	os.WriteFile(name, make([]byte, 1<<20), 0o600)
	if err := Pack(&onWrite{io.Discard, func() { os.Truncate(name, 10) }}, name, PackOptions{}); err == nil || !strings.Contains(err.Error(), "became shorter") {
		t.Errorf("it is packed: %v", err)
	}
}

// What is cut off anywhere is an error, and leaves no file that is not whole.
func TestCutOff(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	os.Mkdir(src, 0o755)
	os.WriteFile(filepath.Join(src, "a"), make([]byte, 3000), 0o600)
	os.WriteFile(filepath.Join(src, "b"), bytes.Repeat([]byte("b"), 3000), 0o600)
	var whole bytes.Buffer
	if err := Pack(&whole, src, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < whole.Len()-512; n += 128 {
		to := filepath.Join(t.TempDir(), "to")
		if err := Unpack(bytes.NewReader(whole.Bytes()[:n]), to, UnpackOptions{}); !errors.Is(err, ErrCut) {
			t.Errorf("after %d of %d bytes: %v", n, whole.Len(), err)
		}
		entries, _ := os.ReadDir(to)
		for _, e := range entries {
			if st, _ := e.Info(); st.Size() != 3000 || tree.IsTemp(e.Name()) {
				t.Errorf("after %d bytes there is %s with %d bytes", n, e.Name(), st.Size())
			}
		}
		if err := Filter(io.Discard, bytes.NewReader(whole.Bytes()[:n]), nil); !errors.Is(err, ErrCut) {
			t.Errorf("filtered, after %d bytes: %v", n, err)
		}
	}
}

// The hot path knows the names as temporary ones.
func TestTempNames(t *testing.T) {
	var temps temps
	a, b := temps.next(), temps.next()
	if !tree.IsTemp(a) || !tree.IsTemp(b) || a == b {
		t.Errorf("%s and %s", a, b)
	}
}
