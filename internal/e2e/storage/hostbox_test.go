package storage

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/testbed"
	"golang.org/x/sys/unix"
)

// hostBox is a sandbox without a container: sandbox-init as PID 1 of a PID namespace of its
// own, as root, on directories of the test's. It starts in milliseconds, its disks can be
// kept or lost at will, and SIGKILL of its PID 1 ends everything in it in one instant, as
// with a container.
type hostBox struct {
	t      *testing.T
	bucket *testbed.Bucket
	dir    string
	Home   string
	State  string
	Run    string
	Env    map[string]string // over the defaults; "" removes one

	// orphans: without a PID namespace, so that what sandbox-init leaves behind when it is killed
	// lives on.
	orphans bool

	cmd  *exec.Cmd
	init int // sandbox-init's PID, as seen from here
	log  *logLines
	out  *bytes.Buffer // the workload's standard output
	done chan struct{}
}

// newHostBox is a sandbox of user u on fresh disks.
func newHostBox(t *testing.T, b *testbed.Bucket) *hostBox {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: sandbox-init becomes the agent")
	}
	// Not t.TempDir: the agent must be able to reach its home, and a socket's path is short.
	dir, err := os.MkdirTemp("", "box-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	x := &hostBox{t: t, bucket: b, dir: dir, Home: filepath.Join(dir, "home"), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run")}
	x.Env = map[string]string{
		contract.EnvSandboxID: "box", contract.EnvUserID: "u",
		contract.EnvHotPath: x.Home, contract.EnvColdPath: filepath.Join(dir, "cold"),
		contract.EnvStateDir: x.State, contract.EnvRunDir: x.Run,
		contract.EnvReadyFile: filepath.Join(dir, "ready"),
		contract.EnvLogLevel:  "debug",
		"PATH":                os.Getenv("PATH"),
	}
	if b != nil {
		s3 := b.Config()
		x.Env[contract.EnvS3Bucket] = s3.Bucket
		x.Env[contract.EnvS3Region] = s3.Region
		x.Env[contract.EnvS3Endpoint] = s3.Endpoint
		x.Env[contract.EnvS3CredentialsFile] = b.Server.CredentialsFile()
	}
	t.Cleanup(func() {
		if x.cmd != nil {
			x.Kill()
		}
		_ = os.RemoveAll(dir)
		if t.Failed() && x.log != nil {
			t.Logf("the log of %s:\n%s", x.Env[contract.EnvSandboxID], x.log.text())
		}
	})
	return x
}

// through reaches S3 through a proxy.
func (x *hostBox) through(p *testbed.FaultProxy) *hostBox {
	x.Env[contract.EnvS3Endpoint] = p.Endpoint
	return x
}

// LoseDisks is what a container's removal does: home and journal are gone.
func (x *hostBox) LoseDisks() {
	x.t.Helper()
	for _, dir := range []string{x.Home, x.State, x.Run} {
		if err := os.RemoveAll(dir); err != nil {
			x.t.Fatal(err)
		}
	}
}

// Start runs sandbox-init with a command, none for an idle sandbox.
func (x *hostBox) Start(command ...string) *hostBox {
	x.t.Helper()
	if x.cmd != nil {
		x.t.Fatal("it runs already")
	}
	// unshare(1) forks the new namespace's PID 1 and mounts its /proc; it ends as that does.
	args := []string{"--pid", "--fork", "--mount-proc", "--kill-child", testbed.Binary(x.t, "cmd/sandbox-init"), "--"}
	if x.orphans {
		args = append([]string{"--mount", "--fork"}, args[4:]...)
	}
	x.cmd = exec.Command("unshare", append(args, command...)...)
	for _, k := range slices.Sorted(maps.Keys(x.Env)) {
		if x.Env[k] != "" {
			x.cmd.Env = append(x.cmd.Env, k+"="+x.Env[k])
		}
	}
	x.log, x.out, x.done = newLogLines(), new(bytes.Buffer), make(chan struct{})
	stderr, err := x.cmd.StderrPipe()
	if err != nil {
		x.t.Fatal(err)
	}
	x.cmd.Stdout = x.out
	x.cmd.WaitDelay = 10 * time.Second
	if err := x.cmd.Start(); err != nil {
		x.t.Fatalf("cannot start a sandbox: %v", err)
	}
	read := make(chan struct{})
	go func() { defer close(read); x.log.read(bufio.NewReader(stderr)) }()
	go func() {
		defer close(x.done)
		<-read
		_ = x.cmd.Wait()
	}()
	return x
}

// Ready is Start and waits until the command may run.
func (x *hostBox) Ready(command ...string) *hostBox {
	x.t.Helper()
	x.Start(command...)
	x.Event("ready")
	return x
}

// Event waits for a line of the log with that event, since the last one that was waited for,
// and gives it. The test fails when the sandbox ends first.
func (x *hostBox) Event(name string) map[string]any {
	x.t.Helper()
	line, ok := x.log.await(name)
	if !ok {
		x.t.Fatalf("the sandbox has ended without %q:\n%s", name, x.log.text())
	}
	return line
}

// PID is sandbox-init's, as seen from here.
func (x *hostBox) PID() int {
	x.t.Helper()
	if x.init == 0 {
		kids := harness.Children(x.cmd.Process.Pid)
		if len(kids) != 1 {
			x.t.Fatalf("unshare has the children %v", kids)
		}
		x.init = kids[0]
	}
	return x.init
}

// StoragePID is the storage process's, as seen from here; 0 when there is none.
func (x *hostBox) StoragePID() int {
	x.t.Helper()
	for _, pid := range harness.Children(x.PID()) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if bytes.HasSuffix(line, []byte("\x00storage\x00")) {
			return pid
		}
	}
	return 0
}

// Signal sends to sandbox-init.
func (x *hostBox) Signal(sig syscall.Signal) {
	x.t.Helper()
	if err := syscall.Kill(x.PID(), sig); err != nil {
		x.t.Fatalf("cannot signal the sandbox: %v", err)
	}
}

// Wait waits for the end and returns the exit code, 128+n for a signal.
func (x *hostBox) Wait() int {
	x.t.Helper()
	<-x.done
	st := x.cmd.ProcessState.Sys().(syscall.WaitStatus)
	x.cmd, x.init = nil, 0
	if st.Signaled() {
		return 128 + int(st.Signal())
	}
	return st.ExitStatus()
}

// Stop ends the sandbox with SIGTERM and returns its exit code.
func (x *hostBox) Stop() int {
	x.t.Helper()
	x.Signal(syscall.SIGTERM)
	return x.Wait()
}

// Kill ends everything in the sandbox at once.
func (x *hostBox) Kill() {
	x.t.Helper()
	// PID 1 of the namespace takes all others along (pid_namespaces(7)); should it not be
	// there yet, --kill-child of unshare does.
	if kids := harness.Children(x.cmd.Process.Pid); len(kids) == 1 {
		_ = syscall.Kill(kids[0], syscall.SIGKILL)
	} else {
		_ = x.cmd.Process.Kill()
	}
	x.Wait()
}

// InitCommand runs a command of sandbox-init in the sandbox's environment, as a user.
func (x *hostBox) InitCommand(uid int, args ...string) harness.Result {
	x.t.Helper()
	var out, errOut bytes.Buffer
	// In the PID namespace: status looks whether PID 1 lives.
	enter := []string{"--target", strconv.Itoa(x.PID()), "--pid", "--mount", "--", testbed.Binary(x.t, "cmd/sandbox-init")}
	if uid != 0 {
		enter = []string{"--target", strconv.Itoa(x.PID()), "--pid", "--mount", "--setuid", strconv.Itoa(uid), "--setgid", strconv.Itoa(uid), "--", x.public()}
	}
	cmd := exec.Command("nsenter", append(enter, args...)...)
	cmd.Env = []string{contract.EnvRunDir + "=" + x.Run}
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		x.t.Fatalf("cannot run sandbox-init %q: %v", args, err)
	}
	return harness.Result{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errOut.String()}
}

// public is a copy of the program that the agent may execute: the testbed keeps its builds
// to itself.
func (x *hostBox) public() string {
	x.t.Helper()
	path := filepath.Join(x.dir, "sandbox-init")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	program, err := os.ReadFile(testbed.Binary(x.t, "cmd/sandbox-init"))
	if err == nil {
		err = os.WriteFile(path, program, 0o755)
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return path
}

// Status asks the sandbox.
func (x *hostBox) Status() (r struct {
	State   contract.State
	Storage *contract.StorageStatus
}) {
	x.t.Helper()
	res := x.InitCommand(0, "status", "--json")
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
		x.t.Fatalf("status --json: %v: %v", err, res)
	}
	return r
}

// Checkpoint returns when all that is on disk is in S3.
func (x *hostBox) Checkpoint() {
	x.t.Helper()
	if r := x.InitCommand(0, "checkpoint"); r.Code != 0 {
		x.t.Fatalf("checkpoint: %v\n%s", r, x.log.text())
	}
}

// waitGone makes a channel that is closed when a process has ended.
func waitGone(t *testing.T, pid int) <-chan struct{} {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer unix.Close(fd)
		for { // a pidfd is readable once its process has ended (pidfd_open(2))
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
				return
			}
		}
	}()
	return gone
}

// logLines is a log as it comes.
type logLines struct {
	mu     sync.Mutex
	lines  []string
	events []map[string]any
	seen   int // events that were waited past
	ended  bool
	more   chan struct{} // closed when something comes
}

func newLogLines() *logLines { return &logLines{more: make(chan struct{})} }

func (l *logLines) read(r *bufio.Reader) {
	for {
		line, err := r.ReadString('\n')
		var event map[string]any
		isEvent := json.Unmarshal([]byte(line), &event) == nil
		l.mu.Lock()
		if line != "" {
			l.lines = append(l.lines, line)
		}
		if isEvent {
			l.events = append(l.events, event)
		}
		l.ended = err != nil
		close(l.more)
		l.more = make(chan struct{})
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await gives the next event of that name; false when there is none and the log has ended.
func (l *logLines) await(name string) (map[string]any, bool) {
	for {
		l.mu.Lock()
		for l.seen < len(l.events) {
			e := l.events[l.seen]
			l.seen++
			if e["event"] == name {
				l.mu.Unlock()
				return e, true
			}
		}
		more, ended := l.more, l.ended
		l.mu.Unlock()
		if ended {
			return nil, false
		}
		<-more
	}
}

// count is how many events of that name there were.
func (l *logLines) count(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.events {
		if e["event"] == name {
			n++
		}
	}
	return n
}

func (l *logLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}
