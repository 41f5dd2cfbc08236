package testbed

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hostileNames are names that break what was not made for them. All are at most 255 bytes.
func hostileNames() []string {
	return []string{
		"plain", " blank", "blank ", "  ", "a b  c", "new\nline", "cr\r", "tab\tname", "\x01control\x1f", "del\x7f", "bell\a", "esc\x1b[31mred",
		"%", "%%", "100%", "%41", "%0A", "%0a", "%250A", "%25", "%2525", "%E9", "%C3%A9", "a%20b", "a%2Fb", "%2e%2e", "+", "a+b", "a&b=c", "q?x#y",
		`back\slash`, `"double"`, "'single'", "`tick`", "$HOME", "$(id)", ";rm -rf", "|", "<xml>&amp;]]>", "{}[]()", "*", "?", "~", "-rf", "--", ":", "a:b", "@",
		"...", "..a", ".a.", ".hidden", "\u00e9", "e\u0301", "日本語", "\U0001f600", "\u202eright-to-left", "\ufeffbom", "\ufffd", "\ufffe", "\uffff", "\u2028",
		"latin1-\xe9", "\xff\xfe", "\xc3", "cut\xe6\x97", "surrogate\xed\xa0\x80", "overlong\xc0\xaf", "CaSe", "case", "NUL", "con.txt",
		strings.Repeat("n", 255), strings.Repeat("é", 127) + "x", "Z" + strings.Repeat("%", 254),
	}
}

// LongEscapes are names of up to 255 bytes whose keys have longer components than the
// embedded server can hold.
func LongEscapes() []string {
	return []string{strings.Repeat("\n", 255), strings.Repeat("\xff", 200)}
}

// Hostile is which parts of the tree to build.
type Hostile struct {
	LongEscapes bool // names that the embedded server cannot hold: see the package comment
	NotKept     bool // sockets, FIFOs
	TooLong     bool // a path whose key is over 1,024 bytes
}

// HostileTree builds a tree of everything that is hard to keep below root, which must be
// an empty directory, and gives what it built.
func HostileTree(t testing.TB, root string, o Hostile) Tree {
	t.Helper()
	b := &builder{t: t, root: root}
	names := hostileNames()
	if o.LongEscapes {
		names = append(names, LongEscapes()...)
	}
	for i, n := range names {
		b.file("names/"+n, fmt.Sprintf("content of %q", n), 0o644)
		if i%3 == 0 && len(n) < 200 {
			b.file("dirs/"+n+"/"+n, n, 0o600)
		}
	}
	for _, perm := range []uint32{0o000, 0o200, 0o400, 0o444, 0o755, 0o777, 0o1777, 0o4755, 0o2755, 0o6711} {
		b.file(fmt.Sprintf("modes/%04o", perm), "mode", perm)
	}
	b.file("sizes/0", "", 0o644)
	b.file("sizes/1", "x", 0o644)
	b.file("sizes/64k", strings.Repeat("0123456789abcdef", 4096), 0o644)
	b.random("sizes/1m", 1<<20+17)

	b.symlink("links/file", "../sizes/1")
	b.symlink("links/dangling", "nowhere/at/all")
	b.symlink("links/absolute", "/etc/passwd")
	b.symlink("links/loop", "loop")
	b.symlink("links/up", "../../../../../../../../etc")
	b.symlink("links/dir", "../dirs")
	b.symlink("links/blank ", " target with blanks ")
	b.symlink("links/bytes", "\xff\n%0A")
	b.symlink("links/long", strings.Repeat("l/", 500))

	b.dir("empty/plain", 0o755)
	b.dir("empty/private", 0o700)
	b.dir("empty/sticky", 0o1777)
	b.dir("empty/in/in/in", 0o755)
	b.dir("empty/new\nline\xff", 0o750)
	b.dir("empty/none", 0o000)

	b.file("hard/one", "one inode", 0o644)
	if err := os.Link(b.path("hard/one"), b.path("hard/two")); err != nil {
		t.Fatal(err)
	}
	b.sparse("sparse/hole", 8<<20, 5<<20)
	b.sparse("sparse/all", 4<<20, -1)

	deep := strings.TrimSuffix(strings.Repeat("deep/", 120), "/")
	b.file(deep+"/file", "deep", 0o644)
	if o.TooLong {
		b.file("long/"+strings.Repeat(strings.Repeat("x", 200)+"/", 6)+"file", "its key is too long", 0o644)
	}
	if o.NotKept {
		b.dir("special", 0o755)
		if err := unix.Mkfifo(b.path("special/fifo"), 0o644); err != nil {
			t.Fatal(err)
		}
		b.socket("special/socket")
	}
	b.times()
	return Scan(t, root)
}

// SmallTree builds files of one size in directories: SmallTree(t, root, 10000, 520, 4096) is
// the tree of the benchmarks. The content is a function of the numbers alone.
func SmallTree(t testing.TB, root string, files, dirs, size int) {
	t.Helper()
	b := &builder{t: t, root: root}
	for i := range files {
		d := i % dirs
		path := fmt.Sprintf("d%02d/e%02d/f%05d", d/26, d%26, i)
		if i < dirs {
			b.parent(path)
		}
		r := rand.New(rand.NewPCG(uint64(i), uint64(size)))
		buf := make([]byte, size)
		for j := range buf {
			buf[j] = byte(r.Uint32())
		}
		if err := os.WriteFile(b.path(path), buf, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// GitTree makes a repository with commits, packed so that it has empty directories which
// git needs ("git pack-refs --all" leaves refs/ empty), below root.
func GitTree(t testing.TB, root string) {
	t.Helper()
	Git(t, root, "init", "-q", "-b", "main")
	for i := range 5 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("file%d", i)), []byte(strings.Repeat("line\n", 100*(i+1))), 0o644); err != nil {
			t.Fatal(err)
		}
		Git(t, root, "add", ".")
		Git(t, root, "commit", "-q", "-m", fmt.Sprint("commit ", i))
	}
	Git(t, root, "branch", "side")
	Git(t, root, "gc", "-q", "--prune=now")
	Git(t, root, "pack-refs", "--all")
}

// Git runs git in a directory, with no configuration but its own, and gives what it says.
func Git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("git")
	if err != nil {
		t.Fatalf("this test needs git: apt-get install git (%v)", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// builder makes files by raw names.
type builder struct {
	t    testing.TB
	root string
	made int64
}

func (b *builder) path(p string) string { return b.root + "/" + p }

func (b *builder) parent(p string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(p)), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *builder) file(p, content string, perm uint32) {
	b.t.Helper()
	b.parent(p)
	if err := os.WriteFile(b.path(p), []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.chmod(p, perm)
}

// chmod sets all twelve bits, with any umask.
func (b *builder) chmod(p string, perm uint32) {
	b.t.Helper()
	if err := unix.Chmod(b.path(p), perm); err != nil {
		b.t.Fatal(err)
	}
}

func (b *builder) random(p string, size int) {
	b.t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(size)))
	buf := make([]byte, size)
	for i := range buf {
		buf[i] = byte(r.Uint32())
	}
	b.file(p, string(buf), 0o644)
}

func (b *builder) dir(p string, perm uint32) {
	b.t.Helper()
	b.parent(p)
	if err := os.Mkdir(b.path(p), 0o700); err != nil {
		b.t.Fatal(err)
	}
	b.chmod(p, perm)
}

func (b *builder) symlink(p, target string) {
	b.t.Helper()
	b.parent(p)
	if err := os.Symlink(target, b.path(p)); err != nil {
		b.t.Fatal(err)
	}
}

// sparse makes a file of size bytes with a few of data at an offset; none when it is negative.
func (b *builder) sparse(p string, size, data int64) {
	b.t.Helper()
	b.file(p, "", 0o644)
	if err := os.Truncate(b.path(p), size); err != nil {
		b.t.Fatal(err)
	}
	if data < 0 {
		return
	}
	f, err := os.OpenFile(b.path(p), os.O_WRONLY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("an island"), data); err != nil {
		b.t.Fatal(err)
	}
}

func (b *builder) socket(p string) {
	b.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer unix.Close(fd)
	d, err := os.Open(filepath.Dir(b.path(p))) // the path may be too long for an address
	if err != nil {
		b.t.Fatal(err)
	}
	defer d.Close()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), filepath.Base(p))}); err != nil {
		b.t.Fatal(err)
	}
}

// times gives each name an mtime of its own, to the nanosecond; the leaves first, so that
// directories keep theirs.
func (b *builder) times() {
	b.t.Helper()
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := os.ReadDir(b.path(dir))
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range entries {
			p := strings.TrimPrefix(dir+"/"+e.Name(), "/")
			if e.IsDir() {
				walk(p)
			}
			b.made++
			ts := unix.Timespec{Sec: 1_600_000_000 + b.made*1000, Nsec: (b.made*7919*104729 + 1) % 1_000_000_000}
			switch b.made % 50 {
			case 7:
				ts = unix.Timespec{Sec: -1, Nsec: 999_999_999} // before the epoch
			case 9:
				ts = unix.Timespec{Sec: 4_102_444_800, Nsec: 1} // the year 2100
			}
			if err := unix.UtimesNanoAt(unix.AT_FDCWD, b.path(p), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				b.t.Fatalf("utimensat %q: %v", p, err)
			}
		}
	}
	walk("")
}
