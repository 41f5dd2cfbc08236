package pid1

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/testbed"
	"golang.org/x/sys/unix"
)

// anInit is a program that a container may have as PID 1.
type anInit struct {
	name string
	argv []string
}

// ours and tini are what is compared. tini -s is a child subreaper where it is not PID 1.
func ours(t *testing.T) anInit {
	return anInit{"sandbox-init", []string{forTheAgent(t, "cmd/sandbox-init"), "--"}}
}

func tini(t *testing.T) anInit {
	path, err := exec.LookPath("tini")
	if err != nil {
		t.Fatalf("cannot compare with tini: %v; apt-get install tini", err)
	}
	return anInit{"tini", []string{path, "-s", "--"}}
}

// theActor is the program that plays workloads.
func theActor(t *testing.T) string { return forTheAgent(t, "internal/pid1/testproc") }

// forTheAgent builds a command that every user may execute, as an image has it.
func forTheAgent(t *testing.T, command string) string {
	t.Helper()
	path := filepath.Join(agentsDir(t), filepath.Base(command))
	// Not written by this process: a child that is forked meanwhile would hold it open
	// for writing, and such a file cannot be executed (ETXTBSY).
	if out, err := exec.Command("install", "-m", "755", testbed.Binary(t, command), path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// agentsDir is a directory that the agent can reach; t.TempDir's parent is closed.
func agentsDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pid1-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// staging is an init with a workload that is about to be started.
type staging struct {
	init     anInit
	workload []string
	env      []string // beside those that every init gets
	alone    bool     // not as PID 1 but as a child of the test
	under    string   // a shell script that ends by becoming "$@"
	logs     string   // SANDBOX_LOG_LEVEL on a terminal
	stdin    io.Reader
	stdout   *os.File        // in place of what says reads
	log      *harness.Screen // gets the init's log
	stderr   *os.File
}

// performance is one that runs.
type performance struct {
	*exec.Cmd
	t     *testing.T
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced when there is a line
	quiet chan struct{} // closed at the end of the output
}

// command is what starts the staging; its process is the init itself.
func (s staging) command(t *testing.T) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: it makes PID namespaces")
	}
	dir := agentsDir(t)
	argv := append(append([]string(nil), s.init.argv...), s.workload...)
	if s.under != "" {
		argv = append([]string{"/bin/sh", "-c", s.under, "sh"}, argv...)
	}
	if !s.alone {
		argv = append([]string{testbed.Binary(t, "internal/pid1/testproc"), "pidns"}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "HOT_PATH="+filepath.Join(dir, "home"), "COLD_PATH="+filepath.Join(dir, "cold"),
		"SANDBOX_STATE_DIR="+filepath.Join(dir, "state"), "SANDBOX_RUN_DIR="+filepath.Join(dir, "run"),
		"SANDBOX_READY_FILE="+filepath.Join(dir, "ready"), "SANDBOX_ID=test")
	cmd.Env = append(cmd.Env, s.env...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if !s.alone {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	}
	cmd.Stdin = s.stdin
	said := harness.NewScreen()
	if s.log != nil {
		said = s.log
	}
	cmd.Stderr = said
	cmd.WaitDelay = time.Second // a process may keep it open: the output so far is enough
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s %q has said:\n%s", s.init.name, s.workload, said)
		}
	})
	if s.stderr != nil {
		cmd.Stderr = s.stderr
	}
	return cmd
}

// begin starts it.
func (s staging) begin(t *testing.T) *performance {
	t.Helper()
	p := &performance{Cmd: s.command(t), t: t, more: make(chan struct{}), quiet: make(chan struct{})}
	var out io.Reader
	if s.stdout != nil {
		p.Stdout = s.stdout
		close(p.quiet)
	} else {
		// A pipe of the test's own: orphans that have inherited it do not keep Wait waiting.
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		t.Cleanup(func() { r.Close() })
		out, p.Stdout = r, w
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	if out != nil {
		go p.read(out)
	}
	return p
}

func (p *performance) read(out io.Reader) {
	defer close(p.quiet)
	for scan := bufio.NewScanner(out); scan.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, scan.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

// pid1Patience bounds what would hang a broken test; nothing is measured by it.
const pid1Patience = 2 * time.Minute

// says waits for a line with this prefix.
func (p *performance) says(prefix string) {
	p.t.Helper()
	late := time.After(pid1Patience)
	for from := 0; ; {
		p.mu.Lock()
		lines, more := p.lines, p.more
		p.mu.Unlock()
		for ; from < len(lines); from++ {
			if strings.HasPrefix(lines[from], prefix) {
				return
			}
		}
		select {
		case <-more:
		case <-late:
			p.t.Fatalf("the workload does not say %q but %q", prefix, lines)
		}
	}
}

// said is all that it has said; after ends, all there is.
func (p *performance) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

func (p *performance) send(sig syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// ends waits for the init's end and gives its exit code, or 1000 and the signal that ended it.
func (p *performance) ends() int {
	p.t.Helper()
	over := make(chan struct{})
	go func() { _ = p.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(pid1Patience):
		p.t.Fatalf("the init does not end; the workload has said %q", p.said())
	}
	if ws, ok := p.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 1000 + int(ws.Signal())
	}
	return p.ProcessState.ExitCode()
}

// all is ends, and the output until every process that could write it has ended.
func (p *performance) all() (int, []string) {
	p.t.Helper()
	code := p.ends()
	select {
	case <-p.quiet:
	case <-time.After(pid1Patience):
		p.t.Fatal("the output is held open by somebody")
	}
	return code, p.said()
}

// eventually looks again until a condition holds that nothing announces.
func eventually(t *testing.T, otherwise string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(pid1Patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal(otherwise)
		}
	}
}
