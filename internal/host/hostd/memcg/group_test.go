package memcg

import (
	"bufio"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// container is a cgroup with a process that stands for PID 1, and one for storage below it.
type container struct {
	name          string
	dir           string
	pid1, storage int
	stop          func()
}

// newContainer makes one. children are what PID 1 starts beside storage, and says the numbers of.
func newContainer(t *testing.T, children string, numbers ...*int) *container {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: it makes a cgroup")
	}
	_, own, err := cgroupOf(os.Getpid())
	if err != nil {
		t.Fatalf("%v; mount the memory controller", err)
	}
	c := &container{name: "memcg-test-" + strings.ToLower(rand.Text())}
	c.dir = filepath.Join(own, c.name)
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		late := time.Now().Add(time.Minute)
		for _, dir := range []string{filepath.Join(c.dir, workloadName), filepath.Join(c.dir, initName), c.dir} {
			err := os.Remove(dir)
			for errors.Is(err, syscall.EBUSY) && time.Now().Before(late) { // until orphans are reaped
				runtime.Gosched()
				err = os.Remove(dir)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	cmd := c.run(t, 0, "echo $$; sh -c 'kill -STOP $$' & echo $!; "+children+"wait", append([]*int{&c.pid1, &c.storage}, numbers...)...)
	c.stop = func() { end(cmd) }
	return c
}

// run starts a shell in the container's cgroup and reads the numbers that it says.
func (c *container) run(t *testing.T, uid uint32, script string, numbers ...*int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", `read go; `+script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd) })
	if _, err := move(c.dir, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, n := range numbers {
		if !lines.Scan() {
			t.Fatal("it has ended")
		}
		if *n, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	return cmd
}

func end(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
}

func sweep(t *testing.T, g *Group, want int) {
	t.Helper()
	if moved, err := g.Sweep(); err != nil || moved != want {
		t.Errorf("%d processes are moved, want %d: %v", moved, want, err)
	}
}

func TestWorkloadHasCgroupOfItsOwn(t *testing.T) {
	c := newContainer(t, "")
	g, err := Divide(c.pid1, c.name, 192<<20)
	if err != nil {
		t.Fatal(err)
	}
	sweep(t, g, 0)
	var session, child int
	cmd := c.run(t, 1000, "echo $$; sleep 1000 & echo $!; wait", &session, &child)
	sweep(t, g, 2)
	sweep(t, g, 0)
	inside, err := members(g.workload)
	slices.Sort(inside)
	if want := []int{session, child}; err != nil || !slices.Equal(inside, want) {
		t.Errorf("the workload's cgroup has %d, want %d: %v", inside, want, err)
	}
	beside, err := members(g.inits)
	slices.Sort(beside)
	if want := []int{c.pid1, c.storage}; err != nil || !slices.Equal(beside, want) {
		t.Errorf("PID 1's cgroup has %d, want %d: %v", beside, want, err)
	}
	for _, pid := range inside {
		score, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/oom_score_adj")
		if err != nil || string(score) != "500\n" {
			t.Errorf("the score of process %d is %q, %v", pid, score, err)
		}
	}
	// The next daemon finds it as it is.
	if again, err := Divide(c.pid1, c.name, 192<<20); err != nil || again.inits != g.inits || again.workload != g.workload {
		t.Errorf("%+v, %v; want %+v", again, err, g)
	}
	end(cmd)
	c.stop()
	if _, err := g.Sweep(); !errors.Is(err, ErrEnded) {
		t.Errorf("after its end: %v", err)
	}
}

// TestScoreIsRaisedAfterTheEngineHasSetIt: a session is found while the engine is still at work on it.
func TestScoreIsRaisedAfterTheEngineHasSetIt(t *testing.T) {
	c := newContainer(t, "")
	g, err := Divide(c.pid1, c.name, 192<<20)
	if err != nil {
		t.Fatal(err)
	}
	var session int
	cmd := exec.Command("sh", "-c", `read go; cat /proc/self/oom_score_adj`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	session = cmd.Process.Pid
	if _, err := move(c.dir, session); err != nil {
		t.Fatal(err)
	}
	sweep(t, g, 1)
	if err := os.WriteFile("/proc/"+strconv.Itoa(session)+"/oom_score_adj", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	sweep(t, g, 0)
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || out.String() != "500\n" {
		t.Errorf("its score is %q, %v; want 500", out.String(), err)
	}
	c.stop()
}

// TestFullWorkloadLeavesInitItsMemory: the kernel ends a process of the workload's cgroup, although
// PID 1 and storage have the highest oom_score_adj.
func TestFullWorkloadLeavesInitItsMemory(t *testing.T) {
	c := newContainer(t, "")
	const limit = 64 << 20
	if err := write(c.dir, "memory.limit_in_bytes", strconv.Itoa(limit)); err != nil {
		if err = write(c.dir, "memory.max", strconv.Itoa(limit)); err != nil {
			t.Fatal(err)
		}
	}
	g, err := Divide(c.pid1, c.name, limit/2)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{c.pid1, c.storage} { // the first to be chosen
		if err := os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("1000"), 0); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", `read go; exec tail /dev/zero`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := move(c.dir, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	sweep(t, g, 1)
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("the process that takes all memory ends with %v, want SIGKILL", err)
	}
	sweep(t, g, 0)
	if beside, err := members(g.inits); err != nil || len(beside) != 2 {
		t.Errorf("PID 1's cgroup has %d, %v", beside, err)
	}
	c.stop()
}

func TestCgroupOfAnotherContainerIsLeft(t *testing.T) {
	c := newContainer(t, "")
	if _, err := Divide(c.pid1, "another", 192<<20); err == nil {
		t.Error("the cgroup of another container is divided")
	}
	c.stop()
}

// chain is a process that forks and ends at once, and so does its child, until the file is gone.
const chain = `f() { test -e "$1" || exit; f "$1" & exit; }; { echo $$; f "$1"; } &`

// TestChainIsMoved: there are always processes beside PID 1, and each has ended when its turn comes.
func TestChainIsMoved(t *testing.T) {
	c := newContainer(t, "")
	g, err := Divide(c.pid1, c.name, 192<<20)
	if err != nil {
		t.Fatal(err)
	}
	goes := filepath.Join(t.TempDir(), "goes")
	if err := os.WriteFile(goes, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		var began int
		c.run(t, 0, `set -- `+goes+`; `+chain, &began)
	}
	settle(t)
	if _, err := g.Sweep(); err != nil {
		t.Error(err)
	}
	for range 1000 { // a chain that is left is seen in some of them
		beside, err := members(g.inits)
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range beside {
			if pid != c.pid1 && pid != c.storage && forks(pid) {
				t.Fatalf("process %d is beside PID 1", pid)
			}
		}
	}
	if err := os.Remove(goes); err != nil {
		t.Fatal(err)
	}
	c.stop()
}

// forks says that a process may still have children. One that was at its end when it was moved stays where it is.
func forks(pid int) bool {
	const exiting = 0x4 // PF_EXITING in the flags of proc_pid_stat(5)
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, fields, _ := strings.Cut(string(stat), ") ")
	flags, _ := strconv.Atoi(append(strings.Fields(fields), make([]string, 7)...)[6])
	return err == nil && flags&exiting == 0
}

// settle lets the kernel forget that a process was moved just now: the next move waits for a grace period again
// (percpu_down_write in the kernel's cgroup.c), and so does this (MEMBARRIER_CMD_GLOBAL in membarrier(2)).
func settle(t *testing.T) {
	t.Helper()
	for range 3 {
		if _, _, errno := syscall.Syscall(unix.SYS_MEMBARRIER, 1, 0, 0); errno != 0 {
			t.Fatal(errno)
		}
	}
}

// TestOrphanOfRootIsMoved: it is PID 1's child and root's, as storage is, and not sandbox-init.
func TestOrphanOfRootIsMoved(t *testing.T) {
	var orphan int
	c := newContainer(t, "sleep 1000 & echo $!; ", &orphan)
	g, err := Divide(c.pid1, c.name, 192<<20)
	if err != nil {
		t.Fatal(err)
	}
	for executable(orphan) == executable(c.pid1) { // until it is sleep
		runtime.Gosched()
	}
	sweep(t, g, 1)
	if inside, err := members(g.workload); err != nil || !slices.Equal(inside, []int{orphan}) {
		t.Errorf("the workload's cgroup has %d, want %d: %v", inside, orphan, err)
	}
	c.stop()
}

func TestProcessThatHasEndedIsNotMoved(t *testing.T) {
	c := newContainer(t, "")
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if moved, err := move(c.dir, cmd.Process.Pid); moved || err != nil {
		t.Errorf("it is moved: %t, %v", moved, err)
	}
	c.stop()
}

// TestProcessIsMovedByItsNumberInTheContainer: the container knows no other.
func TestProcessIsMovedByItsNumberInTheContainer(t *testing.T) {
	c := newContainer(t, "")
	g, err := Divide(c.pid1, c.name, 192<<20)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	if _, err := move(c.dir, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	for _, times := range []string{"once", "again"} {
		if err := g.Move(1); err != nil {
			t.Errorf("%s: %v", times, err)
		}
		if inside, err := members(g.workload); err != nil || !slices.Equal(inside, []int{cmd.Process.Pid}) {
			t.Errorf("%s: the workload's cgroup has %d, want %d: %v", times, inside, cmd.Process.Pid, err)
		}
	}
	for name, pid := range map[string]int{"PID 1": c.pid1, "no process": 1 << 30} {
		if err := g.Move(pid); err == nil {
			t.Errorf("%s is moved", name)
		}
	}
	c.stop()
}
