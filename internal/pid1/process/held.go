package process

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Held is a child that has been forked and does not execute its command yet. It does once Release was called and what it
// was held for is done.
//
// Two processes have to let it go, so that it waits for the end of a pipe's file: this one has two descriptors that
// write to it, and closes each of them for one reason. A byte says that Release was called: without it, the end of
// this process would look the same.
type Held struct {
	*Child
	gate [2]int // the pipe
}

// Hold forks a child that waits. until is called with its number, in a goroutine of its own, and the child waits for its
// return as well.
func (s *Spawner) Hold(spec Spec, until func(pid int)) (*Held, error) {
	var gate [2]int
	if err := unix.Pipe2(gate[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make the gate of %q: %w", spec.Argv, err)
	}
	h := &Held{gate: gate}
	second, err := unix.FcntlInt(uintptr(gate[1]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		h.close()
		return nil, fmt.Errorf("cannot make the gate of %q: %w", spec.Argv, err)
	}
	spec.Extra, spec.gated = append(slices.Clone(spec.Extra), uintptr(gate[0])), true
	if h.Child, err = s.Start(spec); err != nil {
		unix.Close(second)
		h.close()
		return nil, err
	}
	go func() {
		until(h.PID)
		unix.Close(second)
	}()
	return h, nil
}

// Release lets it go on, once what it is held for is done.
func (h *Held) Release() {
	// Its reading end is open here as well, so that this raises no SIGPIPE when the child has been killed.
	_, _ = unix.Write(h.gate[1], []byte{0})
	h.close()
}

// Abandon ends it: its command is never executed.
func (h *Held) Abandon() {
	_ = h.Signal(unix.SIGKILL)
	h.close()
}

func (h *Held) close() {
	unix.Close(h.gate[0])
	unix.Close(h.gate[1])
}

// passes is the child's side: it waits for the end, and says whether it was released.
func passes(gate int) bool {
	unix.CloseOnExec(gate)
	released := false
	for {
		n, err := unix.Read(gate, make([]byte, 1))
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			return released
		default:
			released = true
		}
	}
}
