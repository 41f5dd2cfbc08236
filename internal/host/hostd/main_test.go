package hostd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/hostd/sockdir"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// The test's own program is the daemon when it is called like one. Its engine knows
// every container and none of them ends.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "--data-dir" {
		os.Exit(daemonProcess(os.Args[2], len(os.Args) > 3))
	}
	os.Exit(m.Run())
}

var self = Program{"/proc/self/exe"}

func daemonProcess(path string, isGuard bool) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	d, err := datadir.Open(path)
	if err == nil && isGuard {
		err = Guard(ctx, d, self, NewLogger(d))
	} else if err == nil {
		linger, _ := time.ParseDuration(os.Getenv("HOSTD_TEST_LINGER"))
		e := running()
		err = Main(ctx, Options{Dir: d, Log: NewLogger(d), Linger: linger, OpenEngine: func(context.Context, string) (Engine, error) { return e, nil }}, self)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// fakeEngine is a container engine of which a test says what happens.
type fakeEngine struct {
	mu         sync.Mutex
	containers map[string]*engine.Container
	volumes    map[string]bool
	output     string
	beforeStop func()
	ended      map[string]chan engine.Exit
}

var _ Engine = (*fakeEngine)(nil)

func (e *fakeEngine) ID() string   { return "engine" }
func (e *fakeEngine) Close() error { return nil }

func (e *fakeEngine) Inspect(_ context.Context, id string) (engine.Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.containers[id]
	if !ok {
		return engine.Container{}, engine.ErrNoContainer
	}
	return *c, nil
}

func (e *fakeEngine) Stop(context.Context, string) error {
	if e.beforeStop != nil {
		e.beforeStop()
	}
	e.exit(143)
	return nil
}

func (e *fakeEngine) List(context.Context, ...string) ([]engine.Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []engine.Container
	for _, c := range e.containers {
		out = append(out, *c)
	}
	return out, nil
}

func (e *fakeEngine) Volumes(context.Context, ...string) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.volumes)), nil
}

func (e *fakeEngine) Logs(_ context.Context, _ string, _, _ bool, _ int, out, _ io.Writer) error {
	_, err := io.WriteString(out, e.output)
	return err
}

func (e *fakeEngine) Remove(_ context.Context, id string, _ bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
	return nil
}

func (e *fakeEngine) HasVolume(_ context.Context, name string) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.volumes[name], nil
}

func (e *fakeEngine) RemoveVolume(_ context.Context, name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.volumes, name)
	return nil
}

func (e *fakeEngine) Scrub(context.Context, string, string) error { return nil }

func (e *fakeEngine) Wait(ctx context.Context, id string, _ bool) <-chan engine.Exit {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(chan engine.Exit, 1)
	c, ok := e.containers[id]
	switch {
	case !ok:
		out <- engine.Exit{Err: engine.ErrNoContainer}
	case !c.Running:
		out <- engine.Exit{Code: c.ExitCode}
	default:
		ended := e.ended[id]
		go func() {
			select {
			case x := <-ended:
				out <- x
			case <-ctx.Done():
				out <- engine.Exit{Err: ctx.Err()}
			}
		}()
	}
	return out
}

// newDir is a data directory whose daemon, if any is left, is stopped with the test.
func newDir(t *testing.T) datadir.Dir {
	t.Helper()
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// newSandbox records a sandbox that runs in the container "c".
func newSandbox(t *testing.T, d datadir.Dir, id, user string) datadir.Sandbox {
	t.Helper()
	s, err := d.Sandbox(id)
	if err == nil {
		err = makeDir(s)
	}
	if err == nil {
		err = s.Save(datadir.Record{
			SandboxID: id, UserID: user, Image: "image", Container: "c", Engine: "engine", Created: time.Now(), Fresh: true,
			Volumes: []string{"v-home", "v-state"},
			Store:   datadir.Store{Embedded: true, Bucket: "workspaces", Prefix: "users/"},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request through a sandbox's socket.
func ask(ctx context.Context, s datadir.Sandbox, method, key, body string) (int, string, error) {
	dir, err := sockdir.Open(s.HostDir())
	if err != nil {
		return 0, "", err
	}
	defer dir.Close()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dir.Dial(ctx, contract.HostStorageSocketName)
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://s3/workspaces/"+key, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// mustAsk wants 200.
func mustAsk(t *testing.T, s datadir.Sandbox, method, key, body string) string {
	t.Helper()
	code, answer, err := ask(t.Context(), s, method, key, body)
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s %s: %d %s %v", method, key, code, answer, err)
	}
	return answer
}

// awaitLog waits until the daemon's log has n lines with the event.
func awaitLog(t *testing.T, d datadir.Dir, event string, n int) {
	t.Helper()
	await(t, filepath.Join(d.Hostd(), logName), func() bool {
		b, err := os.ReadFile(filepath.Join(d.Hostd(), logName))
		return err == nil && bytes.Count(b, []byte(`"event":"`+event+`"`)) >= n
	})
}

// await waits until ok, asking again whenever something happens beside path.
func await(t *testing.T, path string, ok func() bool) {
	t.Helper()
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-w.Events:
		case err := <-w.Errors:
			t.Fatal(err)
		case <-deadline:
			t.Fatalf("nothing came of %s", path)
		}
	}
}

// awaitDeath waits for the end of a process that is not this one's child.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	n, err := 0, error(unix.EINTR)
	for errors.Is(err, unix.EINTR) { // the runtime preempts by signals
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
	}
	if err != nil || n != 1 {
		t.Fatalf("process %d has not ended: %v", pid, err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// makeDir makes a sandbox's directory that no process looks after.
func makeDir(s datadir.Sandbox) error {
	lock, err := s.Make(datadir.Record{SandboxID: s.ID})
	if err == nil {
		lock.Unlock()
	}
	return err
}
