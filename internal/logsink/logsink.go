// Package logsink is where both processes of a sandbox write their log: standard error,
// shared with the workload, whose reader may be slow, stopped or gone.
//
// It promises that a log line never stops the process that writes it. Lines are text on a
// terminal and one JSON object each otherwise.
package logsink

import (
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// queue is how many lines wait for a reader; some 100 KiB.
const queue = 256

// Writer writes to a descriptor from one thread of its own. Lines that find the queue
// full are dropped and counted. The descriptor is shared with others and is
// therefore never made non-blocking.
type Writer struct {
	lines   chan []byte
	done    chan struct{}
	dropped atomic.Int64
}

// NewWriter writes to fd until Close.
func NewWriter(fd int) *Writer {
	w := &Writer{lines: make(chan []byte, queue), done: make(chan struct{})}
	go w.run(fd)
	return w
}

func (w *Writer) run(fd int) {
	defer close(w.done)
	runtime.LockOSThread()
	// A reader that is gone and a terminal that stops background writers are this
	// thread's errors, not signals to the process. The thread ends with the goroutine.
	var set unix.Sigset_t
	for _, s := range []syscall.Signal{unix.SIGPIPE, unix.SIGTTOU} {
		set.Val[(s-1)/64] |= 1 << ((s - 1) % 64)
	}
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
	for line := range w.lines {
		if line == nil {
			return
		}
		writeAll(fd, line)
	}
}

func writeAll(fd int, line []byte) {
	for len(line) > 0 {
		n, err := syscall.Write(fd, line)
		switch err {
		case nil:
			line = line[n:]
		case syscall.EINTR:
		case syscall.EAGAIN: // another process made it non-blocking
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			_, _ = unix.Poll(p, -1)
		default:
			return // no reader is left, so the count of lost lines has no reader either
		}
	}
}

// Write queues one line. It never fails and never waits.
func (w *Writer) Write(line []byte) (int, error) {
	select {
	case w.lines <- append([]byte(nil), line...):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

// Dropped is how many lines found the queue full.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

// Close waits until what is queued is written, but no longer than wait. Write must not be
// called any more.
func (w *Writer) Close(wait time.Duration) {
	giveUp := time.NewTimer(wait)
	defer giveUp.Stop()
	select {
	case w.lines <- nil:
	case <-giveUp.C:
		return
	}
	select {
	case <-w.done:
	case <-giveUp.C:
	}
}

// New is a logger that writes to w what is at least level ("debug", "info", "warn",
// "error"; anything else is info).
func New(w io.Writer, terminal bool, level string) *slog.Logger {
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil {
		l = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: l}
	if terminal {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// IsTerminal says whether fd is one.
func IsTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}
