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
)

// container is a cgroup with a process that stands for PID 1, and one for storage below it.
type container struct {
	name          string
	dir           string
	pid1, storage int
	stop          func()
}

func newContainer(t *testing.T) *container {
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
	cmd := c.run(t, 0, "echo $$; sleep 1000 & echo $!; wait", &c.pid1, &c.storage)
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
	if err := move(c.dir, cmd.Process.Pid); err != nil {
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
	c := newContainer(t)
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
	c := newContainer(t)
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
	if err := move(c.dir, session); err != nil {
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
	c := newContainer(t)
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
	if err := move(c.dir, cmd.Process.Pid); err != nil {
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
	c := newContainer(t)
	if _, err := Divide(c.pid1, "another", 192<<20); err == nil {
		t.Error("the cgroup of another container is divided")
	}
	c.stop()
}
