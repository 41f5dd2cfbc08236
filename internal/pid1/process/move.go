package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// moveWithin bounds a request to the host, whose daemon may be starting again.
const moveWithin = 2 * time.Second

// Move asks the host to move a process of this PID namespace to the workload's memory (contract.EnvMemorySocket), and
// returns when it has.
func Move(socket string, pid int) error {
	late := time.Now().Add(moveWithin)
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		err := askToMove(socket, pid, late)
		if !unserved(err) || time.Now().Add(pause).After(late) {
			return err
		}
		time.Sleep(pause) // nothing says when there is a daemon again
	}
}

// unserved says that there was no daemon, or that it was killed before it had answered.
func unserved(err error) bool {
	for _, gone := range []error{unix.ENOENT, unix.ECONNREFUSED, unix.EAGAIN, unix.EPIPE, unix.ECONNRESET, io.ErrUnexpectedEOF} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// askToMove asks once. Package net would bring its resolver into PID 1.
func askToMove(socket string, pid int, late time.Time) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("cannot make a socket: %w", err)
	}
	host := os.NewFile(uintptr(fd), socket)
	defer host.Close()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return fmt.Errorf("cannot reach the host on %s: %w", socket, err)
	}
	// An empty socket takes it at once. A host that is gone is no reason for a SIGPIPE.
	if err := unix.Sendto(fd, append(strconv.AppendInt(nil, int64(pid), 10), '\n'), unix.MSG_NOSIGNAL, nil); err != nil {
		return fmt.Errorf("cannot ask the host on %s: %w", socket, err)
	}
	if err := host.SetReadDeadline(late); err != nil {
		return fmt.Errorf("cannot wait for the host on %s: %w", socket, err)
	}
	const longest = 1024
	said, err := io.ReadAll(io.LimitReader(host, longest))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the host on %s has not answered within %s", socket, moveWithin)
	}
	answer, whole := strings.CutSuffix(string(said), "\n")
	switch {
	case err != nil:
		return fmt.Errorf("cannot wait for the host on %s: %w", socket, err)
	case !whole:
		return fmt.Errorf("the host on %s has ended before it answered: %w", socket, io.ErrUnexpectedEOF)
	case answer != contract.MemoryMoved:
		return fmt.Errorf("the host on %s answers %q", socket, answer)
	}
	return nil
}
