package privilege

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// AgentReads says whether the agent could read a file, and AgentReaches whether it could
// get at a name at all, by trying: modes, owners, access control lists and mounts are
// the kernel's business. As the agent itself, the answer is about this process.
func AgentReads(path string) bool {
	return asAgent(func() error { return tryOpen(path, unix.O_RDONLY|unix.O_NONBLOCK) }) == nil
}

// AgentReaches counts a name that does not exist yet in a directory that the agent may
// search.
func AgentReaches(path string) bool {
	err := asAgent(func() error { return tryOpen(path, unix.O_PATH) })
	return !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM)
}

func tryOpen(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// asAgent calls f on a thread with the agent's effective identity and no groups, which takes the
// effective capabilities away too. setfsuid(2) would change less, but gVisor does not know it. The real
// and the saved user ID stay root's, so the agent may neither signal nor trace the thread. It ends with the
// goroutine: nothing else may ever run on it. The main thread would not end, and the process would look like
// the agent's for good; held meanwhile, it leaves the work to another.
func asAgent(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			result <- asAgent(f)
			return
		}
		if unix.Geteuid() == 0 && becomeAgent() != nil {
			result <- nil // not known: assume that it can
			return
		}
		result <- f()
	}()
	return <-result
}

// becomeAgent gives the calling thread alone the agent's effective identity: the Go functions of
// these names change all threads.
func becomeAgent() error {
	const same = ^uintptr(0)
	if err := unix.Setgroups(nil); err != nil {
		return err
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, same, contract.AgentGID, same); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, contract.AgentUID, same); errno != 0 {
		return errno
	}
	return nil
}
