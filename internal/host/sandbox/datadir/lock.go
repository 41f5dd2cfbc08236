package datadir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Lock takes the sandbox into the caller's care, waiting for the process that has it. The
// program that runs a sandbox holds it for as long as it runs; when that program ends or
// is killed, the kernel passes it on. Only the holder changes the record and ends what has
// to be ended. fs.ErrNotExist when the sandbox has been forgotten meanwhile.
func (s Sandbox) Lock(ctx context.Context) (*Lock, error) {
	f, err := LockFile(ctx, s.file(lockName))
	if err != nil {
		return nil, err
	}
	return held(f), nil
}

const (
	lockName     = "lock"
	stopLockName = "stop.lock"
)

// ErrCaredFor says that another process looks after the sandbox.
var ErrCaredFor = errors.New("another process looks after the sandbox")

// TryLock is Lock without waiting: ErrCaredFor when another process has it.
func (s Sandbox) TryLock() (*Lock, error) {
	f, err := os.OpenFile(s.file(lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the sandbox %s: %w", s.ID, err)
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrCaredFor
		}
		return nil, fmt.Errorf("cannot lock the sandbox %s: %w", s.ID, err)
	}
	if !isAt(f, f.Name()) {
		f.Close()
		return nil, ErrCaredFor // it is being removed, or made anew
	}
	return held(f), nil
}

// Holder is the process that has the lock, as it wrote itself; 0 when that is not known.
func (s Sandbox) Holder() int {
	b, err := os.ReadFile(s.file(lockName))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// LockStop is held while the sandbox is being stopped: two stops at once would be two SIGTERMs,
// of which the second ends the drain. It waits for the other's end.
func (s Sandbox) LockStop(ctx context.Context) (*Lock, error) {
	f, err := LockFile(ctx, s.file(stopLockName))
	if err != nil {
		return nil, err
	}
	return &Lock{f}, nil
}

// Lock is the care for one sandbox.
type Lock struct{ f *os.File }

// held writes the holder into the file: for messages alone, so that a full disk stops nothing.
func held(f *os.File) *Lock {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{f}
}

// Unlock gives it up.
func (l *Lock) Unlock() { l.f.Close() }
