package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

func open(t testing.TB) *Root {
	t.Helper()
	r, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// at is the path of the host for a path of the home.
func (r *Root) at(path string) string { return filepath.Join(r.name, path) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	must(t, err)
	var ns []string
	for _, e := range es {
		ns = append(ns, e.Name())
	}
	return ns
}

func TestCheck(t *testing.T) {
	for _, p := range []string{"a", "a/b", "...", "a..b", " ", "\xff\n", strings.Repeat("x", 300), ".a/..b"} {
		if err := check(p); err != nil {
			t.Errorf("Check(%q): %v", p, err)
		}
	}
	for _, p := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a\x00b"} {
		if err := check(p); !errors.Is(err, errPath) {
			t.Errorf("Check(%q): %v, want ErrPath", p, err)
		}
	}
}

// What leads out of the home is refused by every operation, whether by a symbolic
// link in the place of a directory, to the outside or the inside, or by "..".
func TestNothingLeavesTheHome(t *testing.T) {
	r := open(t)
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "s")
	write(t, r.at("real/secret"), "s")
	must(t, os.Symlink(outside, r.at("abs")))
	must(t, os.Symlink("real", r.at("inside")))
	must(t, os.Symlink("../"+filepath.Base(outside), r.at("rel")))
	must(t, os.Symlink("loop", r.at("loop")))
	must(t, os.Symlink("../..", r.at("real/up")))

	for _, dir := range []string{"abs", "inside", "rel", "loop", "real/up", "..", "real/..", "."} {
		for what, try := range map[string]func(path string) error{
			"Lstat":    func(p string) error { _, err := r.Lstat(p); return err },
			"Open":     func(p string) error { _, err := r.Open(p); return err },
			"Readlink": func(p string) error { _, err := r.Readlink(p); return err },
			"Mkdir":    r.Mkdir,
			"Remove":   r.Remove,
			"Rmdir":    r.Rmdir,
			"SetAttr":  func(p string) error { return r.SetAttr(p, Attr{Mode: 0o777}) },
			"Create":   func(p string) error { _, err := r.Create(p); return err },
			"Symlink":  func(p string) error { _, err := r.CreateSymlink(p, "x"); return err },
			"Rename":   func(p string) error { return r.Rename(p, "x") },
			"RenameTo": func(p string) error { return r.Rename("real/secret", p) },
			"OpenDir":  func(p string) error { _, err := r.OpenDir(p); return err },
			"Entries": func(p string) error {
				for _, err := range r.Entries(filepath.Dir(p)) {
					return err
				}
				return nil
			},
		} {
			err := try(dir + "/secret")
			if !IsNotDir(err) && !errors.Is(err, errPath) {
				t.Errorf("%s(%q): %v", what, dir+"/secret", err)
			}
		}
	}
	if got := names(t, outside); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("outside the home there is now %q", got)
	}
	if i, err := os.Stat(filepath.Join(outside, "secret")); err != nil || i.Mode().Perm() != 0o644 {
		t.Errorf("the file outside was touched: %v %v", i, err)
	}
}

// A file in the home that is a link to the outside is neither read, changed nor
// written through.
func TestLastComponentIsNotFollowed(t *testing.T) {
	r := open(t)
	target := filepath.Join(t.TempDir(), "target")
	write(t, target, "untouched")
	before, err := os.Stat(target)
	must(t, err)
	must(t, os.Symlink(target, r.at("link")))

	if _, err := r.Open("link"); err == nil {
		t.Error("Open followed a link")
	}
	if _, err := r.OpenDir("link"); !IsNotDir(err) {
		t.Errorf("OpenDir: %v", err)
	}
	must(t, r.SetAttr("link", Attr{Mode: 0o100777, Mtime: 42}))
	i, err := r.Lstat("link")
	must(t, err)
	if !i.IsSymlink() || i.Mtime != 42 {
		t.Errorf("Lstat(link) = %+v", i)
	}
	p, err := r.Create("link")
	must(t, err)
	p.Write([]byte("new"))
	_, err = p.Replace(Attr{Mode: 0o600}, i)
	must(t, err)
	after, err := os.Stat(target)
	must(t, err)
	if read(t, target) != "untouched" || !after.ModTime().Equal(before.ModTime()) || after.Mode() != before.Mode() {
		t.Error("the link's target was written through")
	}
	if read(t, r.at("link")) != "new" {
		t.Error("the link was not replaced")
	}
}

func TestOpenDoesNotHang(t *testing.T) {
	r := open(t)
	must(t, unix.Mkfifo(r.at("fifo"), 0o644))
	if _, err := r.Open("fifo"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Open(fifo): %v", err)
	}
	if _, err := r.Open("."); !errors.Is(err, errPath) {
		t.Errorf("Open(.): %v", err)
	}
	must(t, os.Mkdir(r.at("dir"), 0o755))
	if _, err := r.Open("dir"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Open(dir): %v", err)
	}
}

func TestEntries(t *testing.T) {
	r := open(t)
	want := map[string]uint32{"dir": unix.S_IFDIR, "link": unix.S_IFLNK, "\xff\n": unix.S_IFREG}
	must(t, os.Mkdir(r.at("dir"), 0o755))
	must(t, os.Symlink("x", r.at("link")))
	write(t, r.at("\xff\n"), "")
	for n := range 3000 { // several buffers of getdents
		name := strings.Repeat("n", 50) + string(rune('0'+n/1000)) + string(rune('0'+n/100%10)) + string(rune('0'+n/10%10)) + string(rune('0'+n%10))
		write(t, r.at(name), "")
		want[name] = unix.S_IFREG
	}
	for e, err := range r.Entries("") {
		must(t, err)
		if want[e.Name] != e.Type {
			t.Errorf("%q has type %o, want %o", e.Name, e.Type, want[e.Name])
		}
		delete(want, e.Name)
	}
	if len(want) > 0 {
		t.Errorf("%d names were not listed", len(want))
	}
	for _, err := range r.Entries("absent") {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Entries(absent): %v", err)
		}
	}
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	must(t, os.Mkdir(home, 0o755))
	r, err := Open(home)
	must(t, err)
	defer r.Close()
	if replaced, err := r.Replaced(); replaced || err != nil {
		t.Errorf("Replaced() = %v, %v of what is still there", replaced, err)
	}
	id, err := r.Identity()
	must(t, err)
	if i, err := r.Lstat(""); err != nil || i.Dev != id.Dev || i.Ino != id.Ino || id.Ino == 0 {
		t.Errorf("Identity() = %+v, Lstat says %+v, %v", id, i, err)
	}
	if time.Since(time.Unix(0, id.Btime)) > time.Minute {
		t.Errorf("born %v", time.Unix(0, id.Btime))
	}
	must(t, os.Rename(home, home+".old"))
	must(t, os.Mkdir(home, 0o755))
	if replaced, _ := r.Replaced(); !replaced {
		t.Error("another directory took the name and was not noticed")
	}
	must(t, os.Remove(home))
	if replaced, err := r.Replaced(); !replaced || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Replaced() = %v, %v of what is gone", replaced, err)
	}
	if s, err := r.Space(); err != nil || s.Bytes <= 0 || s.Files == 0 || s.BlockSize <= 0 {
		t.Errorf("Space() = %+v, %v", s, err)
	}
}

func TestRename(t *testing.T) {
	r := open(t)
	for what, rename := range map[string]func(from, to string) error{
		"renameat2": r.Rename,
		"link": func(from, to string) error {
			return renameByLink(r.dir.fd, from, r.dir.fd, to)
		},
	} {
		t.Run(what, func(t *testing.T) {
			write(t, r.at("a"), "a")
			write(t, r.at("taken"), "taken")
			must(t, os.MkdirAll(r.at("dir/sub"), 0o755))
			must(t, os.MkdirAll(r.at("empty"), 0o755))
			for _, c := range [][2]string{{"a", "taken"}, {"dir", "taken"}, {"dir", "empty"}, {"a", "dir"}} {
				if err := rename(c[0], c[1]); !errors.Is(err, fs.ErrExist) {
					t.Errorf("rename %s to %s: %v, want it refused", c[0], c[1], err)
				}
			}
			must(t, rename("a", "b"))
			must(t, rename("dir", "moved"))
			if got := names(t, r.name); !slices.Equal(got, []string{"b", "empty", "moved", "taken"}) {
				t.Errorf("then there is %q", got)
			}
			if read(t, r.at("taken")) != "taken" || read(t, r.at("b")) != "a" {
				t.Error("the content changed")
			}
			for _, n := range []string{"b", "empty", "moved", "taken"} {
				os.RemoveAll(r.at(n))
			}
		})
	}
}

// A rename of what was seen moves nothing else.
func TestRenameSeen(t *testing.T) {
	r := open(t)
	d, err := r.OpenDir("")
	must(t, err)
	defer d.Close()
	write(t, r.at("f"), "x")
	seen, err := r.Lstat("f")
	must(t, err)
	write(t, r.at("f"), "written since")
	must(t, d.RenameSeen("f", seen, "copy"))
	if read(t, r.at("copy")) != "written since" {
		t.Error("the file was not renamed")
	}
	for what, replace := range map[string]func(){
		"a directory":  func() { must(t, os.MkdirAll(r.at("f/below"), 0o755)) },
		"another file": func() { write(t, r.at("f"), "another") },
	} {
		must(t, os.RemoveAll(r.at("f")))
		replace()
		if err := d.RenameSeen("f", seen, "moved"); !errors.Is(err, ErrChanged) {
			t.Errorf("%s in its place: %v", what, err)
		}
		if _, err := os.Lstat(r.at("moved")); err == nil {
			t.Errorf("%s was moved", what)
		}
		if _, err := os.Lstat(r.at("f")); err != nil {
			t.Errorf("%s is gone: %v", what, err)
		}
	}
}

func TestSetAttrAndMkdir(t *testing.T) {
	r := open(t)
	must(t, r.Mkdir("d"))
	if err := r.Mkdir("d"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Mkdir again: %v", err)
	}
	must(t, r.SetAttr("d", Attr{Mode: 0o041700 | 0o6000, Mtime: -1_500_000_001}))
	i, err := r.Lstat("d")
	must(t, err)
	if i.Mode != unix.S_IFDIR|0o1700 || i.Mtime != -1_500_000_001 {
		t.Errorf("mode %o mtime %d", i.Mode, i.Mtime)
	}
	if os.Geteuid() == 0 && (i.UID != contract.AgentUID || i.GID != contract.AgentGID) {
		t.Errorf("owner %d:%d", i.UID, i.GID)
	}
	d, err := r.OpenDir("")
	must(t, err)
	defer d.Close()
	must(t, d.chmodByDescriptor("d", 0o755))
	if i, _ := r.Lstat("d"); i.Mode&0o7777 != 0o755 {
		t.Errorf("by descriptor: mode %o", i.Mode)
	}
	must(t, os.Symlink("d", r.at("l")))
	if err := d.chmodByDescriptor("l", 0o700); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("chmod of a link: %v", err)
	}
	if err := r.Rmdir("l"); err == nil {
		t.Error("Rmdir took a link for a directory")
	}
	if err := r.Remove("d"); err == nil {
		t.Error("Remove took a directory for a file")
	}
	must(t, r.Rmdir("d"))
}

func TestRemoveTemps(t *testing.T) {
	r := open(t)
	const left = ".sandbox-hydrate-0123456789abcdef.tmp"
	outside := t.TempDir()
	write(t, filepath.Join(outside, left), "")
	for _, p := range []string{left, "a/b/" + left, "skipped/" + left, "a/x.tmp", left + "x", "dir/" + left + "/kept"} {
		write(t, r.at(p), "")
	}
	must(t, os.Symlink("nowhere", r.at("a/.sandbox-hydrate-fedcba9876543210.tmp")))
	must(t, os.Symlink(outside, r.at("out")))
	own, err := r.Create("a/own")
	must(t, err)
	defer own.Abort()

	n, err := r.RemoveTemps(func(dir string) bool { return dir == "skipped" })
	if n != 3 || err != nil {
		t.Errorf("RemoveTemps = %d, %v, want 3", n, err)
	}
	for _, p := range []string{"skipped/" + left, "a/x.tmp", left + "x", "dir/" + left + "/kept", "a/" + own.temp} {
		if _, err := r.Lstat(p); err != nil {
			t.Errorf("was removed: %v", err)
		}
	}
	if len(names(t, outside)) != 1 {
		t.Error("a link was followed")
	}
}

func TestIsTemp(t *testing.T) {
	r := open(t)
	if n := r.tempName(); !IsTemp(n) || !r.ownTemp(n) || n == r.tempName() {
		t.Errorf("tempName() = %q", n)
	}
	if r.ownTemp(".sandbox-hydrate-0123456789abcdef.tmp") {
		t.Error("another's name taken for its own")
	}
	for _, n := range []string{"", ".sandbox-hydrate-", ".sandbox-hydrate-0123456789abcdeg.tmp", ".sandbox-hydrate-0123456789abcdef.tm", "x.sandbox-hydrate-123456789abcdef.tmp"} {
		if IsTemp(n) {
			t.Errorf("IsTemp(%q)", n)
		}
	}
}
