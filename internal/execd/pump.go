package execd

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
)

// pump moves what a process writes into its output. Reading waits in the poller, not in a thread.
type pump struct {
	from   *os.File
	stream execapi.FrameType
	to     *output
	tty    bool           // not read after the exec's end: closed, its processes get SIGHUP
	moved  int            // bytes, until the pipe is widened
	caught sync.WaitGroup // done when all is moved that was written before the process ended
}

func startPump(from *os.File, stream execapi.FrameType, to *output, tty bool) *pump {
	p := &pump{from: from, stream: stream, to: to, tty: tty}
	p.caught.Add(1)
	go p.run()
	return p
}

// ended makes the pump catch up: the process has ended. Descendants may hold the other end open for ever.
func (p *pump) ended() { _ = p.from.SetReadDeadline(time.Now()) }

func (p *pump) run() {
	defer p.from.Close()
	err := p.follow()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = p.catchUp()
	}
	p.caught.Done()
	if err == nil && !p.tty {
		p.discard()
	}
}

// follow moves until the end, or until ended is called.
func (p *pump) follow() error {
	conn, err := p.from.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var moved error
		err := conn.Read(func(fd uintptr) bool {
			if !readable(int(fd)) {
				return false
			}
			_, moved = p.move(int(fd), wideBlock)
			return !errors.Is(moved, unix.EAGAIN)
		})
		if err != nil {
			return err
		}
		if moved != nil {
			return moved
		}
	}
}

// readable says whether a read would not wait. It is asked first, so that an exec that says nothing has no
// memory for what it says.
func readable(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err != nil || n > 0
}

var errEnd = errors.New("the end")

// move moves up to most bytes. errEnd: the other end is closed, or the output is removed.
func (p *pump) move(fd, most int) (int, error) {
	p.to.write.Lock()
	defer p.to.write.Unlock()
	room := p.to.room()
	if room == nil {
		return 0, errEnd
	}
	for {
		n, err := unix.Read(fd, room[:min(len(room), most)])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EIO: // a terminal whose processes have all closed it
			return 0, errEnd
		case err != nil:
			return 0, err
		case n == 0:
			return 0, errEnd
		}
		p.to.commit(p.stream, n)
		p.widen(fd, n)
		return n, nil
	}
}

// A pipe through which much goes is widened once, which halves the switches between its ends. Not each pipe is: what
// all pipes of a user may take is bounded (pipe(7)), and past that bound the agent's own get less.
const (
	widenAfter = 4 << 20
	widePipe   = 256 << 10
)

func (p *pump) widen(fd, n int) {
	if p.tty || p.moved >= widenAfter {
		return
	}
	if p.moved += n; p.moved >= widenAfter {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, widePipe)
	}
}

// mostAfter is what is read after the end of the process: more than a pipe or a terminal holds. Descendants may
// write on meanwhile.
const mostAfter = 1 << 20

func (p *pump) catchUp() error {
	if err := p.from.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	conn, err := p.from.SyscallConn()
	if err != nil {
		return err
	}
	left := waiting(conn)
	for left > 0 {
		var n int
		var moved error
		if err := conn.Control(func(fd uintptr) { n, moved = p.move(int(fd), left) }); err != nil {
			return err
		}
		if errors.Is(moved, unix.EAGAIN) {
			return nil
		}
		if moved != nil {
			return moved
		}
		left -= n
	}
	return nil
}

// waiting is how much there is to read. Where the kernel does not say, as of the master of a terminal, whose
// buffers it fills a moment later, it is mostAfter: read until there is no more.
func waiting(conn interface{ Control(func(uintptr)) error }) (n int) {
	n = mostAfter
	_ = conn.Control(func(fd uintptr) {
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
			return
		}
		if has, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil {
			n = has
		}
	})
	return n
}

// discard reads what descendants write after the exec has ended, so that they are neither held up nor ended by
// a closed pipe.
func (p *pump) discard() {
	conn, err := p.from.SyscallConn()
	if err != nil {
		return
	}
	for {
		ended := false
		err := conn.Read(func(fd uintptr) bool {
			if !readable(int(fd)) {
				return false
			}
			var scrap [4 << 10]byte
			n, err := unix.Read(int(fd), scrap[:])
			ended = n == 0 && err == nil || err != nil && err != unix.EAGAIN && err != unix.EINTR
			return err != unix.EAGAIN
		})
		if err != nil || ended {
			return
		}
	}
}
