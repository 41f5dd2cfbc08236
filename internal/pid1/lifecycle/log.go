package lifecycle

import (
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/pid1/process"
)

// logWriter writes to a descriptor from one thread of its own, so that a reader who
// has stopped reading (a full pipe, a stopped terminal) never stops PID 1: lines that
// find the queue full are dropped and counted. The descriptor is shared with the
// workload and is therefore never made non-blocking.
type logWriter struct {
	lines   chan []byte
	done    chan struct{}
	dropped atomic.Int64
}

const logQueue = 256

func newLogWriter(fd int) *logWriter {
	w := &logWriter{lines: make(chan []byte, logQueue), done: make(chan struct{})}
	go w.run(fd)
	return w
}

func (w *logWriter) run(fd int) {
	defer close(w.done)
	runtime.LockOSThread()
	// A reader that is gone and a terminal that stops background writers are this
	// thread's errors, not signals that somebody seems to have sent to the workload.
	process.BlockSignals(unix.SIGPIPE, unix.SIGTTOU)
	for line := range w.lines {
		if line == nil {
			return
		}
		for len(line) > 0 {
			n, err := syscall.Write(fd, line)
			if err == syscall.EINTR {
				continue
			}
			if err == syscall.EAGAIN { // somebody made it non-blocking
				p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
				_, _ = unix.Poll(p, -1)
				continue
			}
			if err != nil {
				break // nobody reads: nothing to tell and nobody to tell it to
			}
			line = line[n:]
		}
	}
}

// Write queues one line.
func (w *logWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- append([]byte(nil), line...):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

// close waits until the queue is written, or for as long as that may take.
func (w *logWriter) close(wait time.Duration) {
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

// newLog writes text to a terminal and JSON to everything else.
func newLog(w io.Writer, terminal bool, level string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // checked by config; info otherwise
	opts := &slog.HandlerOptions{Level: l}
	if terminal {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}
