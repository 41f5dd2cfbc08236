package cold_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold"
)

// TestErrnos checks each operation against its manual page: what it answers, and that a refused
// one changes nothing.
func TestErrnos(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	p := b.path
	b.sh(`mkdir -p d/full e; echo x > d/full/f; echo hello > f; ln -s f l; ln -s loop1 loop2; ln -s loop2 loop1; ln -s nowhere dangling`)
	long := strings.Repeat("n", 256)
	deep := strings.Repeat(strings.Repeat("d", 200)+"/", 4) // with the prefix, over 1,024 bytes at the next level
	if err := os.MkdirAll(p(deep), 0o755); err != nil {
		t.Fatal(err)
	}
	open := func(name string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(p(name), flags, 0o644)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	onFile := func(name string, flags int, do func(fd int) error) func() error {
		return func() error {
			fd, err := unix.Open(p(name), flags, 0o644)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return do(fd)
		}
	}
	for _, c := range []struct {
		name string
		do   func() error
		want syscall.Errno
	}{
		{"open of nothing", open("no", unix.O_RDONLY), unix.ENOENT},
		{"open below nothing", open("no/f", unix.O_RDONLY|unix.O_CREAT), unix.ENOENT},
		{"open below a file", open("f/x", unix.O_RDONLY), unix.ENOTDIR},
		{"open of a directory for writing", open("d", unix.O_WRONLY), unix.EISDIR},
		{"open of a directory", open("d", unix.O_RDONLY|unix.O_DIRECTORY), 0},
		{"open of a file as a directory", open("f", unix.O_RDONLY|unix.O_DIRECTORY), unix.ENOTDIR},
		{"exclusive open of a file", open("f", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL), unix.EEXIST},
		{"exclusive open of a link", open("dangling", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL), unix.EEXIST},
		{"open of a link that is not to be followed", open("l", unix.O_RDONLY|unix.O_NOFOLLOW), unix.ELOOP},
		{"open of links in a circle", open("loop1", unix.O_RDONLY), unix.ELOOP},
		{"open of a dangling link", open("dangling", unix.O_RDONLY), unix.ENOENT},
		{"a name of 255 bytes", open(long[1:], unix.O_WRONLY|unix.O_CREAT), 0},
		{"a name of 256 bytes", open(long, unix.O_WRONLY|unix.O_CREAT), unix.ENAMETOOLONG},
		{"a key of over 1,024 bytes", open(deep+long[1:], unix.O_WRONLY|unix.O_CREAT), unix.ENAMETOOLONG},
		{"a directory with such a key", func() error { return unix.Mkdir(p(deep+long[1:]), 0o755) }, unix.ENAMETOOLONG},
		{"a rename to such a key", func() error { return unix.Rename(p("f"), p(deep+long[1:])) }, unix.ENAMETOOLONG},

		{"mkdir of what is there", func() error { return unix.Mkdir(p("d"), 0o755) }, unix.EEXIST},
		{"mkdir over a file", func() error { return unix.Mkdir(p("f"), 0o755) }, unix.EEXIST},
		{"mkdir below nothing", func() error { return unix.Mkdir(p("no/x"), 0o755) }, unix.ENOENT},
		{"mkdir below a file", func() error { return unix.Mkdir(p("f/x"), 0o755) }, unix.ENOTDIR},
		{"rmdir of nothing", func() error { return unix.Rmdir(p("no")) }, unix.ENOENT},
		{"rmdir of a file", func() error { return unix.Rmdir(p("f")) }, unix.ENOTDIR},
		{"rmdir of a full directory", func() error { return unix.Rmdir(p("d/full")) }, unix.ENOTEMPTY},
		{"rmdir of dot", func() error { return unix.Rmdir(p("e") + "/.") }, unix.EINVAL},
		{"rmdir of dot dot", func() error { return unix.Rmdir(p("d/full") + "/..") }, unix.ENOTEMPTY},
		{"rmdir of the mount", func() error { return unix.Rmdir(p("")) }, unix.EBUSY},
		{"unlink of nothing", func() error { return unix.Unlink(p("no")) }, unix.ENOENT},
		{"unlink of a directory", func() error { return unix.Unlink(p("e")) }, unix.EISDIR},
		{"unlink below a file", func() error { return unix.Unlink(p("f/x")) }, unix.ENOTDIR},

		{"rename of nothing", func() error { return unix.Rename(p("no"), p("x")) }, unix.ENOENT},
		{"rename to below nothing", func() error { return unix.Rename(p("f"), p("no/x")) }, unix.ENOENT},
		{"rename of a directory over a file", func() error { return unix.Rename(p("e"), p("f")) }, unix.ENOTDIR},
		{"rename of a file over a directory", func() error { return unix.Rename(p("f"), p("e")) }, unix.EISDIR},
		{"rename over a full directory", func() error { return unix.Rename(p("e"), p("d/full")) }, unix.ENOTEMPTY},
		{"rename of a directory into itself", func() error { return unix.Rename(p("d"), p("d/full/d")) }, unix.EINVAL},
		{"rename to another mount", func() error { return unix.Rename(p("f"), "/tmp/cold-x") }, unix.EXDEV},
		{"rename that must not replace", func() error {
			return unix.Renameat2(unix.AT_FDCWD, p("f"), unix.AT_FDCWD, p("e"), unix.RENAME_NOREPLACE)
		}, unix.EEXIST},
		{"rename that exchanges", func() error {
			return unix.Renameat2(unix.AT_FDCWD, p("f"), unix.AT_FDCWD, p("l"), unix.RENAME_EXCHANGE)
		}, unix.EINVAL},
		{"rename to itself", func() error { return unix.Rename(p("f"), p("f")) }, 0},

		{"hard link", func() error { return unix.Link(p("f"), p("hard")) }, unix.EPERM},
		{"symlink over what is there", func() error { return unix.Symlink("x", p("l")) }, unix.EEXIST},
		{"symlink to nothing at all", func() error { return unix.Symlink("", p("x")) }, unix.ENOENT},
		{"symlink with a long target", func() error { return unix.Symlink(strings.Repeat("t", 4095), p("longlink")) }, 0},
		{"readlink of a file", func() error { _, err := unix.Readlink(p("f"), make([]byte, 9)); return err }, unix.EINVAL},
		{"fifo", func() error { return unix.Mkfifo(p("x"), 0o644) }, unix.EPERM},
		{"device", func() error { return unix.Mknod(p("x"), unix.S_IFCHR|0o644, 0x103) }, unix.EPERM},
		{"socket", func() error { return unix.Mknod(p("x"), unix.S_IFSOCK|0o644, 0) }, unix.EPERM},
		{"file by mknod", func() error { return unix.Mknod(p("node"), unix.S_IFREG|0o644, 0) }, 0},

		{"chown to somebody else", func() error { return unix.Chown(p("f"), 0, 0) }, unix.EPERM},
		{"chown to the agent", func() error { return unix.Chown(p("f"), contract.AgentUID, contract.AgentGID) }, 0},
		{"truncate of a directory", func() error { return unix.Truncate(p("d"), 0) }, unix.EISDIR},
		{"truncate of nothing", func() error { return unix.Truncate(p("no"), 0) }, unix.ENOENT},
		{"truncate to less than nothing", func() error { return unix.Truncate(p("f"), -1) }, unix.EINVAL},
		{"truncate past what S3 holds", func() error { return unix.Truncate(p("f"), cold.MaxFile+1) }, unix.EFBIG},
		{"write past what S3 holds", onFile("f", unix.O_RDWR, func(fd int) error { _, err := unix.Pwrite(fd, []byte("x"), cold.MaxFile); return err }), unix.EFBIG},
		{"write to what is open for reading", onFile("f", unix.O_RDONLY, func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err }), unix.EBADF},
		{"read of what is open for writing", onFile("f", unix.O_WRONLY, func(fd int) error { _, err := unix.Read(fd, make([]byte, 1)); return err }), unix.EBADF},
		{"read of a directory", onFile("d", unix.O_RDONLY, func(fd int) error { _, err := unix.Read(fd, make([]byte, 1)); return err }), unix.EISDIR},
		{"fsync of a directory", onFile("d", unix.O_RDONLY, unix.Fsync), 0},
		{"fallocate", onFile("f", unix.O_RDWR, func(fd int) error { return unix.Fallocate(fd, 0, 0, 100) }), unix.EOPNOTSUPP},
		{"a hole", onFile("f", unix.O_RDWR, func(fd int) error {
			return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4)
		}), unix.EOPNOTSUPP},
		{"attribute", func() error { return unix.Setxattr(p("f"), "user.x", []byte("v"), 0) }, unix.EOPNOTSUPP},
		{"list of attributes", func() error { _, err := unix.Listxattr(p("f"), nil); return err }, unix.EOPNOTSUPP},
		{"seek to data", onFile("f", unix.O_RDONLY, func(fd int) error { _, err := unix.Seek(fd, 0, unix.SEEK_DATA); return err }), 0},
		{"seek to data past the end", onFile("f", unix.O_RDONLY, func(fd int) error { _, err := unix.Seek(fd, 100, unix.SEEK_DATA); return err }), unix.ENXIO},
		{"terminal request", onFile("f", unix.O_RDONLY, func(fd int) error { _, err := unix.IoctlGetTermios(fd, unix.TCGETS); return err }), unix.ENOTTY},
		{"direct read", onFile("f", unix.O_RDONLY|unix.O_DIRECT, func(fd int) error { _, err := unix.Pread(fd, make([]byte, 4096), 0); return err }), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			var got syscall.Errno
			if err != nil && !errors.As(err, &got) {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%v (%d), not %v (%d)", got, got, c.want, c.want)
			}
		})
	}
	if got := b.sh(`cat f d/full/f; readlink l; ls -d e`); got != "hello\nx\nf\ne" {
		t.Errorf("something was changed: %q", got)
	}
}

// TestModesAreEnforced has the kernel refuse what the mode bits do not allow.
func TestModesAreEnforced(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.sh(`echo x > secret; chmod 0 secret; mkdir closed; echo y > closed/f; chmod 0 closed; echo z > ro; chmod 444 ro; mkdir stick; chmod 1777 stick; umask 077; echo u > masked; chmod 4755 masked`)
	if got := b.sh(`(set +e; cat secret; cat closed/f; ls closed; bash -c 'echo no > ro'; touch closed/x; true) 2>&1 | grep -c 'Permission denied'; stat -c %a masked stick secret`); got != "5\n755\n1777\n0" {
		t.Errorf("says %q", got)
	}
	cmd := exec.Command("bash", "-c", "cat ro; cat secret; echo mine > other")
	cmd.Dir = b.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: 4242}}
	if out, err := cmd.CombinedOutput(); err == nil || strings.Count(string(out), "Permission denied") != 2 || !strings.HasPrefix(string(out), "z\n") {
		t.Errorf("another user: %v, %s", err, out)
	}
}

// TestTimes checks what changes which time.
func TestTimes(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.sh(`mkdir d; echo x > d/f`)
	stat := func(name string) (s unix.Stat_t) {
		t.Helper()
		if err := unix.Stat(b.path(name), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := time.Unix(1_000_000_000, 123_456_789)
	reset := func() {
		for _, n := range []string{"d/f", "d"} {
			if err := os.Chtimes(b.path(n), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	unchanged := func(ts unix.Timespec) bool { return ts.Nano() == old.UnixNano() }
	for _, c := range []struct {
		script           string
		fileM, dirM, fcC bool // the file's mtime, the directory's, the file's ctime
	}{
		{"cat d/f", false, false, false},
		{"echo y >> d/f", true, false, true},
		{": > d/f", true, false, true},
		{"truncate -s 10 d/f", true, false, true},
		{"chmod 600 d/f", false, false, true},
		{"touch d/new", false, true, false},
		{"rm d/new", false, true, false},
		{"mkdir d/sub", false, true, false},
		{"rmdir d/sub", false, true, false},
		{"ln -s x d/l", false, true, false},
		{"mv d/l d/m", false, true, false},
		{"mv d/f d/g; mv d/g d/f", false, true, true},
	} {
		reset()
		before := stat("d/f")
		b.sh(c.script)
		f, d := stat("d/f"), stat("d")
		if unchanged(f.Mtim) == c.fileM || unchanged(d.Mtim) == c.dirM || (f.Ctim == before.Ctim) == c.fcC {
			t.Errorf("%s: the file's mtime changed: %v, the directory's: %v, the file's ctime: %v; wanted %v %v %v",
				c.script, !unchanged(f.Mtim), !unchanged(d.Mtim), f.Ctim != before.Ctim, c.fileM, c.dirM, c.fcC)
		}
	}
	for _, at := range []int64{-1, -1_500_000_001, 0, 1 << 33 * 1e9 / 1e9, 253402300799} {
		want := time.Unix(at, 999_999_999)
		if err := os.Chtimes(b.path("d/f"), want, want); err != nil {
			t.Fatal(err)
		}
		if got := stat("d/f"); got.Mtim.Sec != want.Unix() || got.Mtim.Nsec != 999_999_999 {
			if at < 9_000_000_000 { // int64 nanoseconds end in 2262
				t.Errorf("mtime %v is %v", want, got.Mtim)
			}
		}
	}
}

// TestReadEverywhere reads across the ends of blocks and of the file.
func TestReadEverywhere(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	content := make([]byte, 3*131072+777)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	b.bucket.Put(keys+"f", string(content), nil)
	f, err := os.Open(b.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, off := range []int64{0, 1, 131071, 131072, 131073, 262143, 3 * 131072, int64(len(content)) - 1, int64(len(content)), int64(len(content)) + 5} {
		for _, n := range []int{1, 2, 4096, 131072, 131073, 300000} {
			buf := make([]byte, n)
			got, err := f.ReadAt(buf, off)
			end := min(off+int64(n), int64(len(content)))
			want := []byte{}
			if off < end {
				want = content[off:end]
			}
			if err != nil && err != io.EOF || string(buf[:got]) != string(want) {
				t.Errorf("%d bytes at %d: %d bytes, not %d, or others: %v", n, off, got, len(want), err)
			}
		}
	}
}
