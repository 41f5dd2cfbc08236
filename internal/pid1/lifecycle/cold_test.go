package lifecycle

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

func needFuse(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("%v; the test needs /dev/fuse (modprobe fuse, or --device /dev/fuse)", err)
	}
	f.Close()
}

// coldCommand waits for the test and looks at the mount, twice.
const coldCommand = `
look() { stat -c '%A %u' "$COLD_PATH"; grep " $COLD_PATH " /proc/mounts | cut -d' ' -f3,4; }
look; echo up; read x < "$DIR/again"; look; touch "$COLD_PATH/x" 2>/dev/null || echo refused`

func TestColdMount(t *testing.T) {
	needFuse(t)
	r := start(t, scenario{gates: []string{"g", "h", "again"}, command: sh(coldCommand), plan: "hello start hydrated serve coldready gate:g die|hello start hydrated serve coldready gate:h drain flush flushed rest"})
	r.says("up")
	if st := r.state(); st.Cold != contract.ColdMounted || st.ColdReason != "" {
		t.Errorf("state %+v", st)
	}
	r.open("g")
	r.await("storage:gate", 2) // the next storage process has a mount of its own
	r.open("again")
	r.open("h")
	r.ends(0)
	r.noWrongs()
	out := r.out.String()
	if n := strings.Count(out, "drwxr-xr-x 1000\n"); n != 2 {
		t.Errorf("the mount was seen %d times: %s", n, out)
	}
	if n := strings.Count(out, "fuse.sandbox rw,nosuid,nodev,"); n != 2 || strings.Count(out, "default_permissions,allow_other") != 2 {
		t.Errorf("the mount's options: %s", out)
	}
	if st := r.state(); st.Cold != contract.ColdNone {
		t.Errorf("state %+v", st)
	}
}

// TestColdPathBelowTheMount: without a mount it is root's, empty and closed.
func TestColdPathBelowTheMount(t *testing.T) {
	r := start(t, scenario{command: sh(`stat -c '%A %u' "$COLD_PATH"; touch "$COLD_PATH/x" 2>/dev/null || echo refused`), plan: whole})
	r.ends(0)
	if got := r.out.String(); got != "dr-xr-xr-x 0\nrefused\n" {
		t.Errorf("%q", got)
	}
	if e := r.await("cold_unavailable", 1); e["reason"] != "no cold today" {
		t.Errorf("%v", e)
	}
}

func TestColdRequired(t *testing.T) {
	r := start(t, scenario{command: sh("echo started"), plan: "hello start hydrated cold coldfailed flush flushed rest", env: []string{"COLD_REQUIRED=1"}})
	r.ends(contract.ExitHydrate)
	r.noWrongs()
	if r.out.String() != "" {
		t.Error("the command was started")
	}
	if e := r.await("cold_required", 1); e["reason"] != "no cold today" {
		t.Errorf("%v", e)
	}
}

// TestNoRightToMount: as in a container without SYS_ADMIN.
func TestNoRightToMount(t *testing.T) {
	needFuse(t)
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Fatalf("%v; install util-linux", err)
	}
	// The mount namespace must be private already: making it so takes the same right.
	const drop = `mount --make-rprivate /; exec setpriv --bounding-set -sys_admin --inh-caps -all "$0" "$@"`
	r := start(t, scenario{under: drop, command: sh("echo started"), plan: "hello start hydrated drain flush flushed rest", env: []string{"LIFECYCLE_TEST_PRIVATE=1"}})
	r.ends(0)
	r.noWrongs()
	st := r.state()
	if st.Cold != contract.ColdUnavailable || !strings.Contains(st.ColdReason, "--cap-add SYS_ADMIN") {
		t.Errorf("state %+v", st)
	}
}

// A directory that is as it must be is left alone: below a read-only root it could not be
// changed, and another one is.
func TestColdDirectoryIsClosedOnce(t *testing.T) {
	dir := t.TempDir()
	changed := func() unix.Timespec {
		t.Helper()
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != 0 || st.Gid != 0 || st.Mode&0o7777 != 0o555 {
			t.Errorf("it is %o, of %d:%d", st.Mode, st.Uid, st.Gid)
		}
		return st.Ctim
	}
	for _, open := range []func() error{
		func() error { return os.Chmod(dir, 0o755) },
		func() error { return os.Chown(dir, contract.AgentUID, contract.AgentGID) },
		func() error { return os.Chmod(dir, 0o1555) },
	} {
		if err := errors.Join(open(), closeToWriters(dir)); err != nil {
			t.Fatal(err)
		}
		before := changed()
		if err := closeToWriters(dir); err != nil {
			t.Fatal(err)
		}
		if changed() != before {
			t.Error("it was changed again")
		}
	}
}
