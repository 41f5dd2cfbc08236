package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(makeVariable); dir != "" {
		makeOne(dir)
		return
	}
	if os.Geteuid() != 0 {
		os.Stderr.WriteString("these tests mount file systems: run them as root\n")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// newDisk makes one that is gone when the test ends.
func newDisk(t *testing.T, size int64) Disk {
	t.Helper()
	d := At(filepath.Join(t.TempDir(), "disk"))
	if err := d.Make(t.Context(), size); err != nil {
		t.Fatalf("%v; it takes root, loop devices and e2fsprogs", err)
	}
	t.Cleanup(func() {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// image is the image as a file.
func image(t *testing.T, d Disk) os.FileInfo {
	t.Helper()
	fi, err := os.Stat(d.image())
	if err != nil {
		t.Fatal(err)
	}
	return fi
}

// device is the loop device that has the image, "" when none has.
func device(t *testing.T, d Disk) string { return testbed.LoopOf(t, image(t, d)) }

// mounts is what the kernel says is mounted at or below the sandboxDir.
func mounts(t *testing.T, d Disk) (out []string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, d.dir) {
			out = append(out, line)
		}
	}
	return out
}

func TestADiskIsMadeAndRemoved(t *testing.T) {
	d := newDisk(t, 64<<20)
	m := mounts(t, d)
	if len(m) != 1 || !strings.Contains(m[0], " ext4 ") || !strings.Contains(m[0], "nodev") || !strings.Contains(m[0], "nosuid") {
		t.Errorf("mounted: %q", m)
	}
	// What every container may read of it.
	b, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device(t, d)), "loop/backing_file"))
	if err != nil || string(b) != "/image\n" {
		t.Errorf("its device tells of %q, %v", b, err)
	}
	for _, dir := range []string{d.Home(), d.State()} {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil || st.Uid != contract.AgentUID || st.Gid != contract.AgentGID || st.Mode != unix.S_IFDIR|0o755 {
			t.Errorf("%s: %+v, %v", dir, st, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s has %v, %v", dir, left, err)
		}
	}
	// What it may take is its own from the beginning, and stays so.
	whole := func() {
		t.Helper()
		var st unix.Stat_t
		if err := unix.Stat(d.image(), &st); err != nil || st.Size != 64<<20 || st.Blocks*512 < 64<<20 {
			t.Errorf("the image has %d of %d bytes, %v", st.Blocks*512, st.Size, err)
		}
	}
	whole()
	for range 2 {
		if err := os.WriteFile(filepath.Join(d.Home(), "file"), make([]byte, 20<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(d.Home(), "file")); err != nil {
			t.Fatal(err)
		}
		home, err := os.Open(d.Home())
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Syncfs(int(home.Fd())); err != nil {
			t.Error(err)
		}
		home.Close()
		whole()
	}
	if err := d.Make(t.Context(), 64<<20); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if len(mounts(t, d)) != 1 {
		t.Fatal("the second attempt has removed the first one's")
	}
	file := image(t, d)
	for range 2 {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
		testbed.AwaitNoLoop(t, file)
		if _, err := os.Lstat(d.dir); !errors.Is(err, fs.ErrNotExist) || len(mounts(t, d)) != 0 {
			t.Errorf("left: %v, %q", err, mounts(t, d))
		}
	}
}

// What was written is there when it is mounted again, as after a reboot of the host.
func TestADiskOutlivesItsMount(t *testing.T) {
	d := newDisk(t, 64<<20)
	file := filepath.Join(d.Home(), "file")
	if err := os.WriteFile(file, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Unmount(); err != nil {
			t.Fatal(err)
		}
		if m := mounts(t, d); len(m) != 0 {
			t.Errorf("unmounted, there are %q", m)
		}
		testbed.AwaitNoLoop(t, image(t, d))
		if _, err := os.Lstat(d.Home()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("below the mount there is a home: %v", err)
		}
		if _, ok := d.Usage(); ok {
			t.Error("it tells of another file system")
		}
	}
	for range 2 {
		if err := d.Mount(); err != nil {
			t.Fatal(err)
		}
	}
	if m := mounts(t, d); len(m) != 1 {
		t.Errorf("mounted twice, there are %q", m)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "kept" {
		t.Errorf("it has %q, %v", b, err)
	}
}

// fill writes to a file until there is no room, as a user.
func fill(t *testing.T, path string, uid uint32) error {
	t.Helper()
	cmd := exec.Command("dd", "if=/dev/zero", "of="+path, "bs=4k", "status=none")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "No space left on device") {
		t.Fatalf("it was to come to its limit: %v: %s", err, out)
	}
	return err
}

// letIn lets other users into a directory of the test and those above it. The test's own are
// root's alone; the workload gets in through its mount.
func letIn(t *testing.T, dir string) {
	t.Helper()
	for ; dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// The workload comes to its limit, root writes on.
func TestTheReserveIsRoots(t *testing.T) {
	const size = 64 << 20
	d := newDisk(t, size)
	letIn(t, d.at())
	before, ok := d.Usage()
	if !ok || before.Size != size || before.Free < size*3/5 || before.Free > size-reserve(size) {
		t.Errorf("empty: %+v, %v", before, ok)
	}
	fill(t, filepath.Join(d.Home(), "all"), contract.AgentUID)
	full, _ := d.Usage()
	// The file system may give a block of its own back after the write that was refused.
	if full.Free > 64<<10 || full.Used < before.Used+before.Free-1<<20 {
		t.Errorf("full: %+v", full)
	}
	if err := os.WriteFile(filepath.Join(d.State(), "journal"), make([]byte, reserve(size)*9/10), 0o600); err != nil {
		t.Errorf("the storage process: %v", err)
	}
	fill(t, filepath.Join(d.State(), "more"), 0) // the image's size is root's limit, too
	var st unix.Stat_t
	if err := unix.Stat(d.image(), &st); err != nil || st.Size != size {
		t.Errorf("the image has grown to %d, %v", st.Size, err)
	}
}

// An image that a process still looks into is mounted again from the same device: it is one
// file system.
func TestAnImageHasOneDevice(t *testing.T) {
	d := newDisk(t, 32<<20)
	look, err := os.Open(d.Home()) // keeps the file system when it is detached
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	dev := device(t, d)
	if err := d.Unmount(); err != nil {
		t.Fatal(err)
	}
	if len(mounts(t, d)) != 0 {
		t.Errorf("it is still there for new ones: %q", mounts(t, d))
	}
	if err := d.Mount(); err != nil {
		t.Fatal(err)
	}
	if again := device(t, d); dev == "" || again != dev {
		t.Errorf("it has %q, and %s before", again, dev)
	}
	if err := os.WriteFile(filepath.Join(d.Home(), "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if names, err := look.Readdirnames(-1); err != nil || len(names) != 1 {
		t.Errorf("who looked before sees %q, %v", names, err)
	}
}

// A disk that has no room below it is not begun.
func TestThereIsNoRoom(t *testing.T) {
	outer := newDisk(t, 64<<20)
	d := At(filepath.Join(outer.State(), "disk"))
	err := d.Make(t.Context(), 80<<20)
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no room to set its 80 MB aside in "+d.dir) {
		t.Errorf("80 MB in 64: %v", err)
	}
	if left, err := os.ReadDir(outer.State()); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// What cannot be made leaves nothing.
func TestAFailureLeavesNothing(t *testing.T) {
	d := At(filepath.Join(t.TempDir(), "disk"))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := d.Make(ctx, 32<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	if err := d.Make(t.Context(), 1<<10); err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "mkfs.ext4") {
		t.Errorf("of a kilobyte: %v", err)
	}
	if _, err := os.Lstat(d.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
	if err := d.Mount(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("mounting one that is not there: %v", err)
	}
}

// An image that is no file system is an error of its own, and leaves no device.
func TestAnImageThatIsDamaged(t *testing.T) {
	d := newDisk(t, 32<<20)
	if err := d.Unmount(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.image(), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Mount(); err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), d.image()) {
		t.Errorf("mounted: %v", err)
	}
	testbed.AwaitNoLoop(t, image(t, d))
}

// Who cannot have one is told why, and what would help.
func TestWhoCannotHaveOne(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		as   []string // what the program is run by
		says string
	}{
		"another user":       {[]string{"setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"}, "run this program as root"},
		"no e2fsprogs":       {[]string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs none /usr/sbin && exec "$0"`}, "install the package e2fsprogs"},
		"no loop devices":    {[]string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec "$0"`}, "modprobe loop"},
		"no right to mount":  {[]string{"setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"}, "CAP_SYS_ADMIN"},
		"nothing in the way": {[]string{"env"}, "made"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			exe := filepath.Join(dir, "make")
			letIn(t, dir)
			if err := os.Link(self, exe); err != nil {
				t.Fatal(err)
			}
			d := At(filepath.Join(dir, "disk"))
			t.Cleanup(func() { d.Remove() })
			cmd := exec.Command(tc.as[0], append(tc.as[1:], exe)...)
			cmd.Env = append(os.Environ(), makeVariable+"="+d.dir, "PATH=/usr/bin:/bin")
			out, err := cmd.CombinedOutput()
			if got := string(out); err != nil || !strings.Contains(got, tc.says) || strings.HasPrefix(got, unavailable) == (tc.says == "made") {
				t.Errorf("%v: %s", err, got)
			}
			if _, err := os.Lstat(d.dir); errors.Is(err, fs.ErrNotExist) == (tc.says == "made") {
				t.Errorf("its place: %v", err)
			}
		})
	}
}

// makeVariable names the disk that this program makes instead of testing.
const (
	makeVariable = "DISK_TEST_MAKE"
	unavailable  = "unavailable: "
)

func makeOne(dir string) {
	err := At(dir).Make(context.Background(), 32<<20)
	switch {
	case errors.Is(err, ErrUnavailable):
		fmt.Print(unavailable, err)
	case err != nil:
		fmt.Print(err)
	default:
		fmt.Print("made")
	}
}
