package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/logsink"
	"github.com/matrx/sandbox/internal/wire"
)

// What the process exits with. PID 1 goes by the messages; these are for who reads a log.
const (
	exitDone     = 0
	exitFailed   = 1 // it is started again
	exitByHand   = 2
	exitOrphaned = 3 // PID 1 has died
)

// lastWords is how long exit waits for a reader of the log who has stopped reading.
const lastWords = 200 * time.Millisecond

// Main is the role `sandbox-init storage`: args are those after it, of which there are none.
func Main(args []string) int {
	// PID 1 decides when this process ends. A broken or stopped standard error must not.
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE, unix.SIGTTOU, unix.SIGTTIN, unix.SIGTSTP)
	conn, err := wire.Inherited()
	if err == nil && len(args) > 0 {
		err = fmt.Errorf("sandbox-init storage takes no arguments, but was given %q", args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox-init:", err)
		return exitByHand
	}
	sink := logsink.NewWriter(2)
	defer sink.Close(lastWords)
	log := logsink.New(sink, logsink.IsTerminal(2), "info").With("component", "storage")
	start, err := greet(conn)
	if errors.Is(err, io.EOF) {
		return exitOrphaned
	}
	if err != nil {
		log.Error("the storage process cannot start", "event", "storage_start_failed", "error", err)
		return exitFailed
	}
	log = logsink.New(sink, logsink.IsTerminal(2), start.Config.LogLevel).With("component", "storage")
	limitMemory(os.DirFS("/"), log)
	limitThreads()

	messages := make(chan packet, 64) // PID 1 sends some ten in a life
	go receive(conn, messages, func() {
		log.Error("sandbox-init has died; nothing more is written to S3", "event", "orphaned")
		sink.Close(lastWords)
		os.Exit(exitOrphaned)
	})
	s, err := newSession(conn, start, messages, log)
	if err != nil {
		log.Error("the storage process cannot start", "event", "storage_start_failed", "error", err)
		_ = conn.Send(wire.Message{Failed: &wire.Failed{Code: contract.ExitHydrate, Message: err.Error()}})
		return exitFailed
	}
	return s.run(context.Background())
}

// greet makes the process unreadable for others, then asks for the credentials. The order is
// the point: what has been sent to a dumpable process can be read from its memory by
// every process of its user (ptrace(2), "Ptrace access mode checking").
func greet(conn *wire.Conn) (wire.Start, error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return wire.Start{}, fmt.Errorf("cannot make the storage process non-dumpable: %w", err)
	}
	if err := conn.Send(wire.Message{Hello: &wire.Hello{}}); err != nil {
		return wire.Start{}, err
	}
	for {
		m, fds, err := conn.Recv()
		closeAll(fds)
		switch {
		case err != nil:
			return wire.Start{}, err
		case m.Start != nil:
			return *m.Start, nil
		case m.Stop != nil:
			// Before it was told what to do there is nothing to undo.
			return wire.Start{}, conn.Send(wire.Message{Flushed: &wire.Flushed{}})
		}
	}
}

// packet is a message and the descriptors that came with it.
type packet struct {
	wire.Message
	fds []int
}

// receive hands on what PID 1 says, and calls gone when it has died.
func receive(conn *wire.Conn, messages chan<- packet, gone func()) {
	for {
		m, fds, err := conn.Recv()
		if err != nil {
			gone()
			return
		}
		messages <- packet{m, fds}
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}
