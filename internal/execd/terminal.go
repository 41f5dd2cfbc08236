package execd

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
)

// terminal is a pseudoterminal's master (pty(7)).
type terminal struct{ master *os.File }

// openTerminal makes one of a size. slave is the end of the process.
func openTerminal(size execapi.Size) (t *terminal, slave int, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("cannot make a terminal: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, -1, fmt.Errorf("cannot unlock a terminal: %w", err)
	}
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, -1, fmt.Errorf("cannot name a terminal: %w", err)
	}
	slave, err = unix.Open("/dev/pts/"+strconv.FormatUint(uint64(number), 10), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("cannot open a terminal: %w", err)
	}
	if err := resize(fd, size); err != nil {
		unix.Close(slave)
		return nil, -1, err
	}
	return &terminal{os.NewFile(uintptr(fd), "terminal")}, slave, nil
}

// resize sets the size. The kernel tells the processes in the foreground (SIGWINCH).
func (t *terminal) resize(s execapi.Size) error {
	conn, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = resize(int(fd), s) }); err != nil {
		return err
	}
	return failed
}

func resize(fd int, s execapi.Size) error {
	if s.Rows == 0 || s.Columns == 0 {
		return nil // of a client that does not know its own
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: s.Rows, Col: s.Columns}); err != nil {
		return fmt.Errorf("cannot set the size of a terminal: %w", err)
	}
	return nil
}
