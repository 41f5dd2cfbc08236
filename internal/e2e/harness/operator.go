package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/testbed"
)

// Operator runs the program sandbox, with a data directory of its own.
type Operator struct {
	T       *testing.T
	Program string
	DataDir string
	Env     []string
	cred    *syscall.Credential // nil: root
	own     string              // a directory to remove when all is over
}

// NewOperator removes what is left of its sandboxes, and ends their daemon, when the test ends.
func NewOperator(t *testing.T) *Operator {
	t.Helper()
	MakeFakeinit(t)
	o := &Operator{T: t, Program: testbed.Binary(t, "cmd/sandbox"), DataDir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(o.leaveNothing)
	return o
}

// leaveNothing removes what a failed test has left, and ends the daemon.
func (o *Operator) leaveNothing() {
	if o.own != "" {
		defer os.RemoveAll(o.own)
	}
	d := o.Data()
	if _, err := os.Stat(d.Hostd()); errors.Is(err, fs.ErrNotExist) {
		return // no program has used it
	}
	if o.T.Failed() {
		b, _ := os.ReadFile(filepath.Join(d.Hostd(), "log"))
		o.T.Logf("the daemon's log:\n%s", b)
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	// Not what `sandbox ps` lists: that has the sandboxes of all users of this engine.
	records, err := d.Records()
	if err != nil {
		o.T.Error(err)
	}
	for _, r := range records {
		if out, err := o.Command(ctx, "rm", "--force", r.SandboxID).CombinedOutput(); err != nil {
			o.T.Errorf("cannot remove %s: %v\n%s", r.SandboxID, err, out)
		}
	}
	c, err := hostd.Dial(d)
	if err != nil {
		o.T.Error(err)
		return
	}
	defer c.Close()
	if st, err := c.Status(ctx); err == nil {
		syscall.Kill(st.PID, syscall.SIGTERM)
		AwaitDeath(o.T, st.PID)
	}
}

// Command is the program with arguments, as the operator runs it.
func (o *Operator) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, o.Program, args...)
	cmd.Env = append(append(os.Environ(), "SANDBOX_DATA_DIR="+o.DataDir), o.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.cred}
	return cmd
}

// Do runs the program to its end.
func (o *Operator) Do(stdin io.Reader, args ...string) Result {
	o.T.Helper()
	var out, errOut bytes.Buffer
	cmd := o.Command(o.T.Context(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.T.Fatal(err)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// OK is do for what must succeed; it returns standard output without its last newline.
func (o *Operator) OK(args ...string) string {
	o.T.Helper()
	r := o.Do(nil, args...)
	if r.Code != 0 {
		o.T.Fatalf("sandbox %s: %v", strings.Join(args, " "), r)
	}
	return strings.TrimSuffix(r.Stdout, "\n")
}

// Run runs fakeinit: flags, then what follows "--" goes to it.
func (o *Operator) Run(stdin io.Reader, user string, args ...string) Result {
	o.T.Helper()
	return o.Do(stdin, append([]string{"run", "--image", FakeinitImage, "--user-id", user}, args...)...)
}

// Data is the operator's data directory.
func (o *Operator) Data() datadir.Dir {
	o.T.Helper()
	if o.cred != nil {
		return datadir.At(o.DataDir) // another user's, which Open refuses
	}
	d, err := datadir.Open(o.DataDir)
	if err != nil {
		o.T.Fatal(err)
	}
	return d
}

// SandboxDir is what the data directory has of a sandbox.
func (o *Operator) SandboxDir(id string) datadir.Sandbox {
	o.T.Helper()
	s, err := o.Data().Sandbox(id)
	if err != nil {
		o.T.Fatal(err)
	}
	return s
}

// AwaitEnded waits until the daemon has ended a sandbox.
func (o *Operator) AwaitEnded(id string) *datadir.Ended {
	o.T.Helper()
	s := o.SandboxDir(id)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		o.T.Fatal(err)
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(s.RunDir())); err != nil {
		o.T.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for {
		r, err := s.Load()
		if err != nil {
			o.T.Fatal(err)
		}
		if r.Ended != nil && (r.Ended.Kept || r.Ended.Removed) {
			return r.Ended
		}
		select {
		case <-w.Events:
		case <-deadline:
			o.T.Fatalf("the sandbox %s has not been ended", id)
		}
	}
}

// DaemonPID is the process that keeps the operator's data directory.
func (o *Operator) DaemonPID() int {
	o.T.Helper()
	c, err := hostd.Dial(o.Data())
	if err != nil {
		o.T.Fatal(err)
	}
	defer c.Close()
	st, err := c.Status(o.T.Context())
	if err != nil {
		o.T.Fatal(err)
	}
	return st.PID
}

// AwaitNoDaemon waits until no daemon has the data directory.
func (o *Operator) AwaitNoDaemon() {
	o.T.Helper()
	ctx, stop := context.WithTimeout(o.T.Context(), time.Minute)
	defer stop()
	lock, err := datadir.LockFile(ctx, filepath.Join(o.Data().Hostd(), "lock"))
	if err != nil {
		o.T.Fatalf("the daemon has not ended: %v", err)
	}
	lock.Close()
}

// listed is a sandbox as `sandbox ps --json` has it.
type listed struct {
	SandboxID string `json:"sandbox_id"`
	UserID    string `json:"user_id"`
	State     string `json:"state"`
	Running   bool   `json:"running"`
}

// List gives what `sandbox ps` says of the operator's own.
func (o *Operator) List(flags ...string) map[string]listed {
	o.T.Helper()
	var all []listed
	if err := json.Unmarshal([]byte(o.OK(append([]string{"ps", "--json"}, flags...)...)), &all); err != nil {
		o.T.Fatal(err)
	}
	out := make(map[string]listed)
	for _, l := range all {
		if _, err := o.SandboxDir(l.SandboxID).Load(); err == nil { // others may use this engine
			out[l.SandboxID] = l
		}
	}
	return out
}

// Record is what the operator's data directory knows of a sandbox.
func (o *Operator) Record(id string) datadir.Record {
	o.T.Helper()
	r, err := o.SandboxDir(id).Load()
	if err != nil {
		o.T.Fatal(err)
	}
	return r
}

// As makes the operator another user, which may use the engine.
func (o *Operator) As(uid int) {
	o.T.Helper()
	if uid == 0 {
		return
	}
	fi, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		o.T.Fatal(err)
	}
	gid := fi.Sys().(*syscall.Stat_t).Gid
	o.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: []uint32{gid}}
	// Not in the test's own directory, which is root's.
	dir, err := os.MkdirTemp("", "operator-")
	if err != nil {
		o.T.Fatal(err)
	}
	o.own = dir
	if err := os.Chown(dir, uid, uid); err != nil {
		o.T.Fatal(err)
	}
	program := filepath.Join(dir, "sandbox")
	b, err := os.ReadFile(o.Program)
	if err == nil {
		err = os.WriteFile(program, b, 0o755)
	}
	if err != nil {
		o.T.Fatal(err)
	}
	o.Program, o.DataDir = program, filepath.Join(dir, "data")
	o.Env = append(o.Env, "HOME="+dir)
}

// InBase runs a command in the real base image.
func (o *Operator) InBase(user string, args ...string) Result {
	o.T.Helper()
	return o.Do(nil, append([]string{"run", "--image", catalog.Reference("", "base", ""), "--user-id", user}, args...)...)
}

// InCore runs a command in the real core image.
func (o *Operator) InCore(user string, args ...string) Result {
	o.T.Helper()
	return o.Do(nil, append([]string{"run", "--image", catalog.Reference("", "core", ""), "--user-id", user}, args...)...)
}

// AwaitStart waits until a sandbox that is being started has got as far as reached says.
func (o *Operator) AwaitStart(id string, reached func(datadir.Record, contract.State) bool) {
	o.T.Helper()
	s := o.SandboxDir(id)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		o.T.Fatal(err)
	}
	defer w.Close()
	place := filepath.Dir(s.RunDir())
	for _, dir := range []string{filepath.Dir(place), place, s.RunDir()} {
		w.Add(dir) // what is not there yet is added when it is
	}
	deadline := time.After(time.Minute)
	for {
		r, err := s.Load()
		st, _ := s.State()
		if err == nil && reached(r, st) {
			return
		}
		select {
		case <-w.Events:
			w.Add(place)
			w.Add(s.RunDir())
		case <-deadline:
			o.T.Fatalf("the sandbox %s has not got there", id)
		}
	}
}
