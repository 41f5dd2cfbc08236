package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/hostd"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// standinImage has internal/e2e/fakeinit in the place of sandbox-init, and nothing else.
const standinImage = "matrx-sandbox-standin:test"

// sandboxProgram builds the operator's program, once.
var sandboxProgram = sync.OnceValues(func() (string, error) { return build("sandbox", "./cmd/sandbox") })

func build(name, pkg string) (string, error) {
	path, err := filepath.Abs(filepath.Join(repository, ".cache", "e2e", name))
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// standin makes the stand-in image, once, and only when its program has changed.
var standin = sync.OnceValue(func() error {
	path, err := build("standin", "./internal/e2e/fakeinit")
	if err != nil {
		return err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(program))
	have, err := exec.Command("docker", "image", "inspect", "--format", "{{.Config.Labels.sum}}", standinImage).Output()
	if err == nil && strings.TrimSpace(string(have)) == sum {
		return nil
	}
	var rootfs bytes.Buffer
	w := tar.NewWriter(&rootfs)
	for _, dir := range []string{"home/", "home/agent/", "var/", "var/lib/", "var/lib/sandbox/", "run/", "tmp/", "usr/", "usr/bin/"} {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755})
	}
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/bin/find", Linkname: "/standin"})
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "standin", Mode: 0o755, Size: int64(len(program))})
	w.Write(program)
	if err := w.Close(); err != nil {
		return err
	}
	exec.Command("docker", "image", "rm", standinImage).Run()
	cmd := exec.Command("docker", "import", "--change", `ENTRYPOINT ["/standin","--"]`, "--change", "LABEL sum="+sum, "-", standinImage)
	cmd.Stdin = &rootfs
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make the stand-in image: %w\n%s", err, out)
	}
	return nil
})

// operator is somebody with a data directory of their own.
type operator struct {
	t       *testing.T
	program string
	dataDir string
	env     []string
	cred    *syscall.Credential // nil: root
	own     string              // a directory to remove when all is over
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	program, err := sandboxProgram()
	if err == nil {
		err = standin()
	}
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, program: program, dataDir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(o.leaveNothing)
	return o
}

// leaveNothing removes what a failed test has left, and ends the daemon.
func (o *operator) leaveNothing() {
	if o.own != "" {
		defer os.RemoveAll(o.own)
	}
	d, err := datadir.Open(o.dataDir)
	if err != nil {
		o.t.Error(err)
		return
	}
	if o.t.Failed() {
		b, _ := os.ReadFile(filepath.Join(d.Hostd(), "log"))
		o.t.Logf("the daemon's log:\n%s", b)
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	// Not what `sandbox ps` lists: that has the sandboxes of everybody who uses this engine.
	records, err := d.Records()
	if err != nil {
		o.t.Error(err)
	}
	for _, r := range records {
		if out, err := o.command(ctx, "rm", "--force", r.SandboxID).CombinedOutput(); err != nil {
			o.t.Errorf("cannot remove %s: %v\n%s", r.SandboxID, err, out)
		}
	}
	c, err := hostd.Dial(d)
	if err != nil {
		o.t.Error(err)
		return
	}
	defer c.Close()
	if st, err := c.Status(ctx); err == nil {
		syscall.Kill(st.PID, syscall.SIGTERM)
		awaitDeath(o.t, st.PID)
	}
}

func (o *operator) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, o.program, args...)
	cmd.Env = append(append(os.Environ(), "SANDBOX_DATA_DIR="+o.dataDir), o.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.cred}
	return cmd
}

// do runs the program to its end.
func (o *operator) do(stdin io.Reader, args ...string) result {
	o.t.Helper()
	var out, errOut bytes.Buffer
	cmd := o.command(o.t.Context(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// ok is do for what must succeed; it returns standard output without its last newline.
func (o *operator) ok(args ...string) string {
	o.t.Helper()
	r := o.do(nil, args...)
	if r.code != 0 {
		o.t.Fatalf("sandbox %s: %v", strings.Join(args, " "), r)
	}
	return strings.TrimSuffix(r.stdout, "\n")
}

// run runs the stand-in: flags, then what follows "--" goes to it.
func (o *operator) run(stdin io.Reader, user string, args ...string) result {
	o.t.Helper()
	return o.do(stdin, append([]string{"run", "--image", standinImage, "--user-id", user}, args...)...)
}

// process is a program that has been started.
type process struct {
	*exec.Cmd
	t        *testing.T
	out, err *screen
	done     chan struct{}
}

// start starts the program; it is killed at the test's end.
func (o *operator) start(args ...string) *process {
	o.t.Helper()
	p := &process{Cmd: o.command(context.Background(), args...), t: o.t, out: newScreen(), err: newScreen(), done: make(chan struct{})}
	p.Stdout, p.Stderr = p.out, p.err
	if err := p.Start(); err != nil {
		o.t.Fatal(err)
	}
	go func() {
		p.Wait()
		close(p.done)
	}()
	o.t.Cleanup(func() {
		p.Process.Kill()
		<-p.done
	})
	return p
}

// end waits for the end.
func (p *process) end() result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatalf("it has not ended\nstdout: %s\nstderr: %s", p.out, p.err)
	}
	return result{p.ProcessState.ExitCode(), p.out.String(), p.err.String()}
}

// signal sends a signal to the program alone.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// screen collects output and lets one wait for it.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newScreen() *screen { return &screen{more: make(chan struct{}, 1)} }

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	s.text.Write(b)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the text is there.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.more:
		case <-deadline:
			t.Fatalf("%q has not come; there is:\n%s", text, s)
		}
	}
}

// data is the operator's data directory.
func (o *operator) data() datadir.Dir {
	o.t.Helper()
	d, err := datadir.Open(o.dataDir)
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

func (o *operator) sandboxDir(id string) datadir.Sandbox {
	o.t.Helper()
	s, err := o.data().Sandbox(id)
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

// awaitEnded waits until a sandbox has been ended by whoever looks after it.
func (o *operator) awaitEnded(id string) *datadir.Ended {
	o.t.Helper()
	s := o.sandboxDir(id)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		o.t.Fatal(err)
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(s.RunDir())); err != nil {
		o.t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for {
		r, err := s.Load()
		if err != nil {
			o.t.Fatal(err)
		}
		if r.Ended != nil && (r.Ended.Kept || r.Ended.Removed) {
			return r.Ended
		}
		select {
		case <-w.Events:
		case <-deadline:
			o.t.Fatalf("the sandbox %s has not been ended", id)
		}
	}
}

// daemonPID is the process that keeps the operator's data directory.
func (o *operator) daemonPID() int {
	o.t.Helper()
	c, err := hostd.Dial(o.data())
	if err != nil {
		o.t.Fatal(err)
	}
	defer c.Close()
	st, err := c.Status(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	return st.PID
}

// volumes are those that a sandbox has.
func volumes(t *testing.T, id string) string {
	t.Helper()
	return engineOK(t, "volume", "ls", "-q", "--filter", "label=dev.matrx.sandbox.sandbox-id="+id)
}

// containers are those that a sandbox has, running or not.
func containers(t *testing.T, id string) string {
	t.Helper()
	return engineOK(t, "ps", "-aq", "--filter", "label=dev.matrx.sandbox.sandbox-id="+id)
}

// nothingLeft wants a sandbox to have neither.
func nothingLeft(t *testing.T, id string) {
	t.Helper()
	if v, c := volumes(t, id), containers(t, id); v != "" || c != "" {
		t.Errorf("the sandbox %s has left volumes %q and containers %q", id, v, c)
	}
}

// awaitDeath waits for the end of a process that is not this one's child.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 60_000); err != nil || n != 1 {
		t.Errorf("process %d has not ended: %v", pid, err)
	}
}

// listed is a sandbox as `sandbox ps --json` has it.
type listed struct {
	SandboxID string `json:"sandbox_id"`
	UserID    string `json:"user_id"`
	State     string `json:"state"`
	Running   bool   `json:"running"`
}

// list gives what `sandbox ps` says of the operator's own.
func (o *operator) list(flags ...string) map[string]listed {
	o.t.Helper()
	var all []listed
	if err := json.Unmarshal([]byte(o.ok(append([]string{"ps", "--json"}, flags...)...)), &all); err != nil {
		o.t.Fatal(err)
	}
	out := make(map[string]listed)
	for _, l := range all {
		if _, err := o.sandboxDir(l.SandboxID).Load(); err == nil { // others may use this engine
			out[l.SandboxID] = l
		}
	}
	return out
}
