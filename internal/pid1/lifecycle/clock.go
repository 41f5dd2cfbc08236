package lifecycle

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/wire"
)

// never is a deadline that does not come.
const never int64 = math.MaxInt64

// now is the clock that every deadline is in, CLOCK_BOOTTIME in nanoseconds.
func now() int64 { return wire.Boottime() }

// alarm is a timer in CLOCK_BOOTTIME (timerfd_create(2)). Package time's stand still
// while the machine is suspended, and a deadline then comes late by the whole time.
type alarm struct {
	C    <-chan struct{} // gets a value when the time has come; it may be stale
	file *os.File
	at   int64
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot make a timer: %w", err)
	}
	// Non-blocking: the runtime waits for it with epoll, not with a thread.
	a := &alarm{file: os.NewFile(uintptr(fd), "timerfd"), at: never}
	c := make(chan struct{}, 1)
	a.C = c
	go func() {
		var expirations [8]byte
		for {
			if _, err := a.file.Read(expirations[:]); err != nil {
				return // closed
			}
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}()
	return a, nil
}

// set moves the alarm; never disarms it.
func (a *alarm) set(at int64) {
	if at == a.at {
		return
	}
	a.at = at
	var spec unix.ItimerSpec // zero disarms
	if at != never {
		spec.Value = unix.NsecToTimespec(max(at, 1))
	}
	conn, err := a.file.SyscallConn()
	if err == nil {
		_ = conn.Control(func(fd uintptr) {
			_ = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &spec, nil)
		})
	}
}

func (a *alarm) close() { a.file.Close() }
