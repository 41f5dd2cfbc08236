package execd

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/wire"
)

// The server reaps every child of its process. The tests therefore start the test binary again as the server, with
// the descriptors that PID 1 would give it.
const serverVariable = "EXECD_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		os.Exit(beServer())
	}
	os.Exit(m.Run())
}

func beServer() int {
	home := os.Getenv(serverVariable)
	for fd := wire.ExecdListener; fd <= wire.ExecdEnviron; fd++ {
		unix.CloseOnExec(fd)
	}
	l, err := net.FileListener(os.NewFile(wire.ExecdListener, "socket"))
	if err == nil {
		err = unix.SetNonblock(wire.ExecdControl, true)
	}
	if err == nil {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		err = serve(l, os.NewFile(wire.ExecdControl, "control"), Options{
			Home: home, Unbound: len(os.Args) > 1, Environ: os.NewFile(wire.ExecdEnviron, "environ"),
			Records: os.NewFile(wire.ExecdRecords, "records"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// sandbox is what PID 1 has of exec servers.
type sandbox struct {
	t        *testing.T
	home     string
	path     string
	listener *os.File
	records  *os.File
	environ  *os.File
	server   *exec.Cmd
	control  *os.File
	log      *bytes.Buffer
	*execapi.Client
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	s := makeSandbox(t)
	s.setEnviron()
	s.start()
	return s
}

// makeSandbox is newSandbox before the start.
func makeSandbox(t *testing.T) *sandbox {
	t.Helper()
	dir, err := os.MkdirTemp("", "execd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	records, err := unix.MemfdCreate("records", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	environ, err := unix.MemfdCreate("environ", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	s := &sandbox{t: t, environ: os.NewFile(uintptr(environ), "environ"), home: filepath.Join(dir, "home"), path: filepath.Join(dir, "s"), listener: file, records: os.NewFile(uintptr(records), "records")}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if err := os.Mkdir(s.home, 0o755); err != nil {
		t.Fatal(err)
	}
	s.Client = execapi.New(func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", s.path) })
	t.Cleanup(s.killLeft)
	t.Cleanup(s.end)
	return s
}

// killLeft ends what execs have left behind: an exec's background outlives it, and the server as well.
func (s *sandbox) killLeft() {
	names, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		s.t.Error(err)
	}
	for _, name := range names {
		if at, _ := os.Readlink(name); at != s.home {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
	}
}

// setEnviron says what the environment of execs is.
func (s *sandbox) setEnviron() {
	s.t.Helper()
	if _, err := s.environ.WriteAt([]byte("PATH="+os.Getenv("PATH")+"\x00OWN=sandbox\x00BOTH=sandbox\x00"), 0); err != nil {
		s.t.Fatal(err)
	}
}

// start starts a server, ready at once.
func (s *sandbox) start() {
	s.t.Helper()
	s.fork()
	s.tell(wire.ExecdReady)
}

func (s *sandbox) fork(args ...string) {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	s.control, s.log = w, new(bytes.Buffer)
	s.server = exec.Command("/proc/self/exe", args...)
	s.server.Env = append(os.Environ(), serverVariable+"="+s.home)
	s.server.ExtraFiles = []*os.File{s.listener, s.records, r, s.environ}
	s.server.Stderr = s.log
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sandbox) tell(b byte) {
	s.t.Helper()
	if _, err := s.control.Write([]byte{b}); err != nil {
		s.t.Fatal(err)
	}
}

// end ends the server as PID 1 does, and fails the test when it has not ended well.
func (s *sandbox) end() {
	s.control.Close()
	if err := s.server.Wait(); err != nil && s.server.ProcessState.Sys() != nil && !s.t.Failed() {
		s.t.Errorf("the server: %v\n%s", err, s.log)
	}
	s.listener.Close()
	s.records.Close()
}

// kill kills the server, and starts the next one.
func (s *sandbox) kill() {
	s.t.Helper()
	if err := s.server.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = s.server.Wait()
	s.control.Close()
	s.start()
}

// outcome is all that a stream brought.
type outcome struct {
	out, err string
	gaps     []execapi.Gap
	final    execapi.Final
}

// collect reads a stream to its end.
func collect(st *execapi.Stream) (o outcome, err error) {
	defer st.Close()
	defer within(st)()
	var out, errs bytes.Buffer
	for {
		e, err := st.Next()
		if err != nil {
			o.out, o.err = out.String(), errs.String()
			return o, err
		}
		switch e.Type {
		case execapi.FrameStdout:
			out.Write(e.Data)
		case execapi.FrameStderr:
			errs.Write(e.Data)
		case execapi.FrameGap:
			o.gaps = append(o.gaps, e.Gap)
		case execapi.FrameFinal:
			o.out, o.err, o.final = out.String(), errs.String(), *e.Final
			return o, nil
		}
	}
}

// run runs a command to its end.
func (s *sandbox) run(spec execapi.Spec) outcome {
	s.t.Helper()
	st, err := s.StartAttached(s.t.Context(), spec)
	if err != nil {
		s.t.Fatal(err)
	}
	o, err := collect(st)
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func sh(script string) execapi.Spec {
	return execapi.Spec{Args: []string{"sh", "-c", script}}
}

// await reads a stream until its output has a text, and returns the output so far.
func await(t *testing.T, st *execapi.Stream, text string) string {
	t.Helper()
	defer within(st)()
	var seen strings.Builder
	for !strings.Contains(seen.String(), text) {
		e, err := st.Next()
		if err != nil || e.Final != nil {
			t.Fatalf("after %q there is no %q: %v, %+v", &seen, text, err, e.Final)
		}
		seen.Write(e.Data)
	}
	return seen.String()
}

// patience bounds what would otherwise hang a broken test. Nothing is measured by it.
const patience = time.Minute

// within breaks a stream off when patience is at its end.
func within(st *execapi.Stream) (enough func() bool) {
	return time.AfterFunc(patience, func() { st.Close() }).Stop
}

// ends waits until a process has ended, which is not this one's child.
func ends(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, int(patience/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Errorf("the process %d lives: %v", pid, err)
		}
		return
	}
}
