package wire

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is the present CLOCK_BOOTTIME in nanoseconds: it counts while the machine is
// suspended and never jumps (clock_gettime(2)).
func Boottime() int64 {
	var now unix.Timespec
	// It cannot fail: the clock exists since Linux 2.6.39 and the address is ours.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return now.Nano()
}

// In is the deadline d from now.
func In(d time.Duration) Deadline { return Deadline{Boottime: Boottime() + int64(d)} }

// Left is the time until the deadline, negative once it has passed.
func (d Deadline) Left() time.Duration { return time.Duration(d.Boottime - Boottime()) }
