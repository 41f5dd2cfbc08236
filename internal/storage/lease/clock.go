package lease

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/wire"
)

// Clock is CLOCK_BOOTTIME. Tests have another one.
type Clock interface {
	// Now is the time since boot, suspension included.
	Now() time.Duration
	// Until returns when Now has reached t, or with ctx's error.
	Until(ctx context.Context, t time.Duration) error
}

// bootClock waits by timerfd, since the runtime's timers stand still while the machine is
// suspended: on waking, the fence must close first and not up to writeFor later.
type bootClock struct{}

func (bootClock) Now() time.Duration { return time.Duration(wire.Boottime()) }

func (c bootClock) Until(ctx context.Context, t time.Duration) error {
	for c.Now() < t {
		if err := ctx.Err(); err != nil {
			return err
		}
		timer, err := newTimer(t)
		if err != nil {
			// A kernel without this clock (some user-space ones) is never suspended.
			select {
			case <-time.After(t - c.Now()):
			case <-ctx.Done():
			}
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = timer.SetReadDeadline(time.Unix(1, 0)) })
		var expirations [8]byte
		_, _ = timer.Read(expirations[:]) // its end is judged by Now and ctx above
		stop()
		timer.Close()
	}
	return ctx.Err()
}

// newTimer is a timerfd_create(2) timer that can be read once boot time t has come.
func newTimer(t time.Duration) (*os.File, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(t))}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "timerfd"), nil
}
