package lifecycle

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// scenario is a sandbox to be run.
type scenario struct {
	command []string
	plan    string // "": no storage
	env     []string
	hooks   map[string]string // "pre-start.d/10-x": script
	stderr  *os.File          // in place of the log that run reads
	under   string            // a script that becomes "$0" "$@"
	before  func(dir string)  // what is there at the start
	gates   []string          // FIFOs below the directory: a read from one waits for run.open
}

// run is a sandbox that runs.
type run struct {
	*exec.Cmd
	t    *testing.T
	dir  string
	home string
	out  *output

	mu    sync.Mutex
	seen  []entry
	more  chan struct{} // closed and replaced when seen grows
	quiet chan struct{} // closed at the log's end
}

// entry is a line of the log, of PID 1 or of the fake storage process.
type entry map[string]any

func (e entry) event() string { s, _ := e["event"].(string); return s }

// patience bounds what would otherwise hang a broken test. Nothing is measured by it.
const patience = time.Minute

func start(t *testing.T, sc scenario) *run {
	t.Helper()
	dir, err := os.MkdirTemp("", "lifecycle")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the agent's way to its home
		t.Fatal(err)
	}
	for name, script := range sc.hooks {
		path := filepath.Join(dir, "hooks", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	makeGates(t, dir, sc.gates)
	if sc.before != nil {
		sc.before(dir)
	}
	r := &run{t: t, dir: dir, home: filepath.Join(dir, "home"), out: newOutput(), more: make(chan struct{}), quiet: make(chan struct{})}
	r.Cmd = exec.Command("/proc/self/exe", sc.command...)
	if sc.under != "" {
		r.Cmd = exec.Command("sh", append([]string{"-c", sc.under, os.Args[0]}, sc.command...)...)
	}
	r.Env = append(os.Environ(),
		initVariable+"=1", hooksVariable+"="+filepath.Join(dir, "hooks"), planVariable+"="+sc.plan, dirVariable+"="+dir,
		"HOT_PATH="+r.home, "COLD_PATH="+filepath.Join(dir, "cold"), "DIR="+dir,
		"SANDBOX_STATE_DIR="+filepath.Join(dir, "state"), "SANDBOX_RUN_DIR="+filepath.Join(dir, "run"),
		"SANDBOX_READY_FILE="+filepath.Join(dir, "ready"), "SANDBOX_LOG_LEVEL=debug", "SANDBOX_ID=test")
	if sc.plan != "" {
		r.Env = append(r.Env, "S3_BUCKET=abc", "USER_ID=u", "S3_ENDPOINT=http://127.0.0.1:1")
	}
	r.Env = append(r.Env, sc.env...)
	r.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	// A pipe of the test's own: exec's would make Wait wait for all who have inherited it.
	logEnd, err := r.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if sc.stderr != nil {
		r.Stderr = sc.stderr
	}
	r.Stdout = r.out
	if err := r.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Process.Kill() })
	if sc.stderr == nil {
		go r.read(logEnd)
	} else {
		close(r.quiet)
	}
	return r
}

func (r *run) read(log io.Reader) {
	defer close(r.quiet)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			e = entry{"event": "text", "text": lines.Text()}
		}
		r.mu.Lock()
		r.seen = append(r.seen, e)
		close(r.more)
		r.more = make(chan struct{})
		r.mu.Unlock()
	}
}

// await waits for the n-th entry of an event, and for a step of the fake storage process as
// "storage:STEP".
func (r *run) await(event string, n int) entry {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		r.mu.Lock()
		found, more := r.find(event), r.more
		r.mu.Unlock()
		if len(found) >= n {
			return found[n-1]
		}
		select {
		case <-more:
		case <-r.quiet:
			if len(r.events(event)) < n {
				r.t.Fatalf("the sandbox ended without %q\n%s", event, r.log())
			}
		case <-timeout:
			r.t.Fatalf("no %q\n%s", event, r.log())
		}
	}
}

func (r *run) find(event string) (found []entry) {
	for _, e := range r.seen {
		if e.event() == event {
			found = append(found, e)
		}
	}
	return found
}

// events are the entries so far.
func (r *run) events(event string) []entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(event)
}

func (r *run) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, e := range r.seen {
		line, _ := json.Marshal(e)
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func (r *run) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// code waits for the end.
func (r *run) code() int {
	r.t.Helper()
	over := make(chan struct{})
	go func() {
		<-r.quiet // all log has been read: only then may Wait close the pipe
		_ = r.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(patience):
		r.t.Fatalf("the sandbox does not end\n%s", r.log())
	}
	return r.ProcessState.ExitCode()
}

// ends checks the exit code.
func (r *run) ends(want int) {
	r.t.Helper()
	if got := r.code(); got != want {
		r.t.Errorf("exit code %d, want %d\n%s", got, want, r.log())
	}
}

// state reads state.json, as every user may.
func (r *run) state() (st contract.State) {
	r.t.Helper()
	body, err := os.ReadFile(filepath.Join(r.dir, "run", contract.StateFileName))
	if err == nil {
		err = json.Unmarshal(body, &st)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

func (r *run) ready() bool {
	_, err := os.Lstat(filepath.Join(r.dir, "ready"))
	return err == nil
}

// open lets the process that reads the FIFO go on.
func (r *run) open(gate string) {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, gate), os.O_WRONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	f.Close()
}

// makeGates makes the gates before the sandbox starts, since nothing says when it comes to them.
func makeGates(t *testing.T, dir string, names []string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := unix.Mkfifo(path, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o666); err != nil { // for every user, with any umask
			t.Fatal(err)
		}
	}
}

// sh is a command that runs a script.
func sh(script string) []string { return []string{"sh", "-c", script} }

// output is what the command has said so far.
type output struct {
	mu   sync.Mutex
	said strings.Builder
	more chan struct{} // closed and replaced when there is more
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said.Write(p)
	close(o.more)
	o.more = make(chan struct{})
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// says waits for a line of the command's.
func (r *run) says(line string) {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		r.out.mu.Lock()
		said, more := "\n"+r.out.said.String(), r.out.more
		r.out.mu.Unlock()
		if strings.Contains(said, "\n"+line+"\n") {
			return
		}
		select {
		case <-more:
		case <-timeout:
			r.t.Fatalf("the command does not say %q but %q\n%s", line, said, r.log())
		}
	}
}
