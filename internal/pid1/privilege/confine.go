package privilege

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// ConfineWorkload takes rights from the calling thread's future children for good; the
// caller has locked its goroutine to the thread and never unlocks it.
//
// The order matters: dropping from the bounding set takes CAP_SETPCAP, which the
// thread has until its child becomes another user. The permitted set stays, since
// SETUID and SETGID are needed by the fork itself.
func (m Mode) ConfineWorkload() error {
	if m == Root {
		if err := limitBounding(0); err != nil {
			return err
		}
	}
	return noNewPrivs()
}

// ConfineStorage leaves the storage process, which stays UID 0, what it takes to write
// the agent's files, and nothing else: a program that UID 0 executes gets no more than
// the bounding set (capabilities(7)).
func (m Mode) ConfineStorage() error {
	if m == Root {
		if err := limitBounding(1<<unix.CAP_CHOWN | 1<<unix.CAP_FOWNER | 1<<unix.CAP_DAC_OVERRIDE); err != nil {
			return err
		}
	}
	return noNewPrivs()
}

// ConfineExecd leaves the exec server what BecomeAgent takes, which it does before anything else. It is started as
// UID 0 so that no process of the agent's can ever trace it or write to its memory: one that the agent's UID executes
// is dumpable until it says otherwise (PR_SET_DUMPABLE in prctl(2)), one whose UID changes never is.
func (m Mode) ConfineExecd() error {
	if err := limitBounding(1<<unix.CAP_SETUID | 1<<unix.CAP_SETPCAP); err != nil {
		return err
	}
	return noNewPrivs()
}

// ExecdCredential is what the exec server is started as.
func ExecdCredential() *syscall.Credential {
	return &syscall.Credential{Uid: 0, Gid: contract.AgentGID, Groups: []uint32{}}
}

// BecomeAgent makes this process the agent's, with no capability and none to be had, in all of its threads. It is
// for a process that was started as ExecdCredential below ConfineExecd.
func BecomeAgent() error {
	if unix.Geteuid() == 0 {
		for _, number := range []uintptr{unix.CAP_SETUID, unix.CAP_SETPCAP} {
			if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, number, 0); errno != 0 {
				return fmt.Errorf("cannot drop capability %d from the bounding set: %w", number, errno)
			}
		}
		if err := syscall.Setuid(contract.AgentUID); err != nil {
			return fmt.Errorf("cannot become the agent: %w", err)
		}
	}
	return Undumpable()
}

// limitBounding drops every capability but those in keep from the bounding set, and
// empties the inheritable and ambient sets, which some engines fill.
func limitBounding(keep uint64) error {
	for number := 0; ; number++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(number), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // past the last capability of this kernel
			break
		}
		if err != nil {
			return fmt.Errorf("cannot read the capability bounding set: %w", err)
		}
		if has == 0 || keep&(1<<number) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0); err != nil {
			return fmt.Errorf("cannot drop capability %d from the bounding set: %w", number, err)
		}
	}
	// A kernel that does not know the ambient set (gVisor, Linux before 4.3) answers EINVAL, and has none.
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("cannot clear the ambient capabilities: %w", err)
	}
	caps, err := getCaps()
	if err != nil {
		return err
	}
	caps.inheritable = 0
	return setCaps(caps)
}

// noNewPrivs makes execve grant nothing: no SUID bits, no file capabilities.
func noNewPrivs() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set no_new_privs: %w", err)
	}
	return nil
}
