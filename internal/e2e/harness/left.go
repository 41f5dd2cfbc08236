package harness

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Volumes are those that a sandbox has.
func Volumes(t *testing.T, id string) string {
	t.Helper()
	return EngineOK(t, "volume", "ls", "-q", "--filter", "label=dev.matrx.sandbox.sandbox-id="+id)
}

// HasHome says whether a home or a state of the sandbox is left, in the data directory or in the engine.
func (o *Operator) HasHome(id string) bool {
	o.T.Helper()
	has, err := o.SandboxDir(id).HasHome()
	if err != nil {
		o.T.Fatal(err)
	}
	return has || Volumes(o.T, id) != ""
}

// Containers are those that a sandbox has, running or not.
func Containers(t *testing.T, id string) string {
	t.Helper()
	return EngineOK(t, "ps", "-aq", "--filter", "label=dev.matrx.sandbox.sandbox-id="+id)
}

// NothingLeft wants a sandbox to have neither.
func NothingLeft(t *testing.T, id string) {
	t.Helper()
	if v, c := Volumes(t, id), Containers(t, id); v != "" || c != "" {
		t.Errorf("the sandbox %s has left volumes %q and containers %q", id, v, c)
	}
}

// AwaitDeath waits for the end of a process that is not this one's child.
func AwaitDeath(t *testing.T, pid int) {
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
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 60_000)
	}
	if err != nil || n != 1 {
		t.Errorf("process %d has not ended: %v", pid, err)
	}
}
