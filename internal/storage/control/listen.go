package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// Places for connections at the same time: so many for root, so many for everybody else.
const maxConns = 16

// maxSocketPath is what sun_path holds beside its NUL (unix(7)).
const maxSocketPath = 107

// ErrInUse is wrapped when another process answers on the socket.
var ErrInUse = errors.New("another sandbox is serving there")

// listen makes the socket in runDir. One that a killed process left is replaced, by rename:
// whoever connects meanwhile finds the old one or the new one, with the right mode.
func listen(runDir string) (net.Listener, error) {
	path := filepath.Join(runDir, contract.ControlSocketName)
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("cannot serve the control socket %s: %w; give each sandbox a SANDBOX_RUN_DIR of its own", path, ErrInUse)
	}
	temp := path + ".new"
	if len(temp) > maxSocketPath {
		return nil, fmt.Errorf("cannot serve the control socket %s: the path is longer than a socket's may be (%d bytes); choose a shorter SANDBOX_RUN_DIR",
			path, maxSocketPath-len(".new"))
	}
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot replace the control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot serve the control socket: %w; check SANDBOX_RUN_DIR", err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temp, 0o666), os.Rename(temp, path)); err != nil {
		l.Close()
		_ = os.Remove(temp)
		return nil, fmt.Errorf("cannot serve the control socket: %w", err)
	}
	return &fairListener{UnixListener: l}, nil
}

// fairListener closes connections beyond maxConns of root's or of all others' at once, so
// that a workload which opens thousands takes neither descriptors nor root's places.
type fairListener struct {
	*net.UnixListener
	mu          sync.Mutex
	root, other int
}

func (l *fairListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		open := l.class(conn)
		l.mu.Lock()
		full := *open >= maxConns
		if !full {
			*open++
		}
		l.mu.Unlock()
		if full {
			conn.Close()
			continue
		}
		return &countedConn{UnixConn: conn, leave: sync.OnceFunc(func() {
			l.mu.Lock()
			*open--
			l.mu.Unlock()
		})}, nil
	}
}

// class is the count that conn belongs to, by its peer's user (SO_PEERCRED, unix(7)).
func (l *fairListener) class(conn *net.UnixConn) *int {
	class := &l.other
	raw, err := conn.SyscallConn()
	if err != nil {
		return class
	}
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err == nil && cred.Uid == 0 {
			class = &l.root
		}
	})
	return class
}

type countedConn struct {
	*net.UnixConn
	leave func()
}

func (c *countedConn) Close() error {
	c.leave()
	return c.UnixConn.Close()
}
