package trash

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// RemoveGently is Remove for the background: it leaves half of the time, and more of the disk where the
// kernel's I/O scheduler knows priorities, to others. It ends with ctx.
func (d Dir) RemoveGently(ctx context.Context, name string) error {
	done := make(chan error, 1)
	go func() {
		// Not given back: the priorities are the thread's, which ends with this goroutine.
		runtime.LockOSThread()
		yield()
		began := time.Now()
		done <- d.Remove(name, func() error {
			worked := time.Since(began)
			defer func() { began = time.Now() }()
			select {
			case <-time.After(worked):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	return <-done
}

// yield makes this thread the last to get the processor and the disk: ioprio_set(2) and setpriority(2),
// which count for a thread on Linux. A kernel that refuses has the pauses.
func yield() {
	const (
		process   = 1 // IOPRIO_WHO_PROCESS
		idleClass = 3 << 13
	)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, process, 0, idleClass)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 19)
}
