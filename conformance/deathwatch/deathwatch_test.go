package deathwatch

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"golang.org/x/sys/unix"
)

// The test's own program is the suite's, and the server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case Command:
			os.Exit(Main(os.Args[2:]))
		case "server": // prints its PID, and stays
			_, _ = io.WriteString(os.Stdout, strconv.Itoa(os.Getpid())+"\n")
			select {}
		case "failing":
			os.Exit(7)
		}
	}
	os.Exit(m.Run())
}

// start starts a watched server and gives its pidfd: pidfd_open(2) says when it has ended.
func start(t *testing.T, lock string) (cmd *exec.Cmd, stdin io.Closer, pidfd int) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd = New(Spec{Program: self, Lock: lock, Argv: []string{self, "server"}})
	stdin, err = cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pidfd) })
	return cmd, stdin, pidfd
}

// ended waits until a process has: its pidfd can be read then.
func ended(t *testing.T, pidfd int) {
	t.Helper()
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
		if err == nil {
			return
		}
		if err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

func TestTheServerEndsWithTheInput(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	cmd, stdin, pidfd := start(t, lock)
	f, err := os.Open(lock)
	require.NoError(t, err)
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("the lock is not held while the server lives: %v", err)
	}
	stdin.Close()
	ended(t, pidfd)
	_ = cmd.Wait() // 1: SIGTERM ended the server
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("the lock is still held: %v", err)
	}
}

func TestServerEndsWithTheDeathwatch(t *testing.T) {
	cmd, _, pidfd := start(t, filepath.Join(t.TempDir(), "lock"))
	require.NoError(t, cmd.Process.Kill())
	ended(t, pidfd)
	_ = cmd.Wait()
}

func TestDeathwatchEndsWithTheServer(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := New(Spec{Program: self, Lock: filepath.Join(t.TempDir(), "lock"), Argv: []string{self, "failing"}})
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != 7 {
		t.Errorf("the exit code is %d, want 7", got)
	}
}
