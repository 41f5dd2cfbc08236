package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/sandbox/trash"
)

// Where the daemon and the engine are root's, a sandbox's home and state are directories of the data directory,
// mounted into its container. As volumes of the engine they would be removed under a lock of the engine's, for
// which each create and each removal of another sandbox waits: 12 s for a home of 400,000 files.
// Directories are renamed into the trash instead, and the daemon empties that. Another operator
// cannot make directories of the agent's, nor remove what a container's root has written, and keeps volumes.

// HomeDir and StateDir are mounted as home and state, when the record says Dirs.
func (s Sandbox) HomeDir() string { return s.file("home") }

// StateDir see HomeDir.
func (s Sandbox) StateDir() string { return s.file("state") }

// Trash is where directories go that the daemon is to remove.
func (d Dir) Trash() trash.Dir { return trash.At(d.trashPath()) }

// makeHome makes both, as they are in the images.
func (s Sandbox) makeHome() error {
	for _, dir := range []string{s.HomeDir(), s.StateDir()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chown(dir, contract.AgentUID, contract.AgentGID); err != nil {
			return err
		}
	}
	return nil
}

// DiscardHome puts both into the trash. What they hold is gone: the caller has made sure that this is
// wanted. The caller holds the lock.
func (s Sandbox) DiscardHome() error {
	trash := s.Dir().Trash()
	put := func(dir, what string) error {
		if os.Remove(dir) == nil { // it was empty
			return nil
		}
		return trash.Put(dir, s.ID+"-"+what)
	}
	return errors.Join(put(s.HomeDir(), "home"), put(s.StateDir(), "state"))
}

// HasHome says whether there is a home of the sandbox's, empty or not: a directory, or a disk.
func (s Sandbox) HasHome() (bool, error) {
	for _, path := range []string{s.HomeDir(), s.StateDir(), s.Disk().Path()} {
		err := unix.Access(path, unix.F_OK)
		if err == nil {
			return true, nil
		}
		if err != unix.ENOENT {
			return false, fmt.Errorf("cannot see whether the sandbox %s has kept something: %s: %w", s.ID, path, err)
		}
	}
	return false, nil
}

// holdsFiles says whether home, state or disk may hold what is nowhere else. No sweep removes a
// sandbox's directory that does, even when all else is missing in it.
func (s Sandbox) holdsFiles() bool {
	for _, path := range []string{s.HomeDir(), s.StateDir(), s.Disk().Path()} {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return true
		}
		_, err = f.Readdirnames(1)
		f.Close()
		if !errors.Is(err, io.EOF) {
			return true
		}
	}
	return false
}
