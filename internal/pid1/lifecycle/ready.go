package lifecycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// readyFile exists exactly while the sandbox is ready.
type readyFile string

// withdraw removes it. In a restarted container it may be there from before.
func (f readyFile) withdraw() error {
	err := clearName(string(f))
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot remove the ready file: %w; check %s", err, contract.EnvReadyFile)
}

// create makes it anew and never writes through a link that another process has put there: all
// users may write to its directory, /tmp.
func (f readyFile) create() error {
	if err := f.withdraw(); err != nil {
		return err
	}
	file, err := os.OpenFile(string(f), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot create the ready file: %w; check %s", err, contract.EnvReadyFile)
	}
	return file.Close()
}

// clearName removes a file, a link or an empty directory, or nothing. A directory that is not
// empty is renamed: the agent may have made it before a restart, in a directory where all may
// write, its files are its own, and to remove a tree takes as long as the agent likes.
func clearName(path string) error {
	err := os.Remove(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.ENOTEMPTY):
		return os.Rename(path, fmt.Sprintf("%s.aside-%d", path, now()))
	}
	return err
}
