package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/matrx/sandbox/contract"
)

// maxSocketPath is what sun_path holds beside its NUL (unix(7)).
const maxSocketPath = 107

// errInUse is wrapped when another process answers on the socket.
var errInUse = errors.New("another sandbox is serving there")

// listen makes the socket in runDir. One that a killed process left is replaced, by rename:
// a client that connects meanwhile finds the old one or the new one, with the right mode.
func listen(runDir string) (net.Listener, error) {
	path := filepath.Join(runDir, contract.ControlSocketName)
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("cannot serve the control socket %s: %w; give each sandbox a SANDBOX_RUN_DIR of its own", path, errInUse)
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
	return newFairListener(l), nil
}
