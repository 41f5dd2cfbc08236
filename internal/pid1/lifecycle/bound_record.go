package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
)

// The state directory says whose a sandbox is from the bind on, so that a restart of the same container is that
// user's, saves what is missing, and never waits for another user. It is root's alone, as the file is: the message's
// environment may hold secrets.

// recall finds out whether an earlier start of this container was bound.
func (s *sandbox) recall() error {
	b, err := readBind(s.Config.StateDir)
	if err != nil {
		return err
	}
	if b == nil {
		return checkUnused(s.Config)
	}
	next, err := s.boundBy(*b)
	if err != nil {
		return fmt.Errorf("cannot be what %s says: %w", filepath.Join(s.Config.StateDir, contract.BoundFileName), err)
	}
	s.Options = next
	return nil
}

// readBind gives nil when there is none.
func readBind(stateDir string) (*contract.Bind, error) {
	if err := os.Remove(nextBind(stateDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot remove what a bind has left: %w", err)
	}
	body, err := readBounded(filepath.Join(stateDir, contract.BoundFileName), mostKept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var b contract.Bind
	if err == nil {
		b, err = parseBind(body)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read whose sandbox this is: %w; what is in its home can be saved by a start that is not unbound, with its user's variables", err)
	}
	return &b, nil
}

// mostKept bounds the file in bytes: JSON writes up to six for one that came ("<" becomes "\u003c").
const mostKept = 8 * contract.MaxBind

func nextBind(stateDir string) string { return filepath.Join(stateDir, contract.BoundFileName+".next") }

// keepBind writes the message, whole or not at all. The caller syncs the file that it gets.
func keepBind(stateDir string, b contract.Bind) (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		return nil, fmt.Errorf("cannot keep whose sandbox this is: %w", err)
	}
	body, err := json.Marshal(b)
	if err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(nextBind(stateDir), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fail(err)
	}
	if _, err = f.Write(body); err == nil {
		err = os.Rename(f.Name(), filepath.Join(stateDir, contract.BoundFileName))
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return fail(err)
	}
	return f, nil
}

// syncBind brings the message to the disk beside the hydrate. A crash of the host before that leaves files without
// it, which the next start refuses (checkUnused): no other user gets them.
func (s *sandbox) syncBind(f *os.File) {
	defer f.Close()
	err := f.Sync()
	if err == nil {
		var dir *os.File
		if dir, err = os.Open(filepath.Dir(f.Name())); err == nil {
			defer dir.Close()
			err = dir.Sync()
		}
	}
	if err != nil {
		s.log.Error("whose sandbox this is may be lost when the host crashes; a restart of the container is then refused", "event", "bind_unsynced", "error", err.Error())
	}
}

// checkUnused refuses what is no new sandbox: files in its home would become the next user's.
func checkUnused(c *config.Config) error {
	for _, dir := range []string{c.HotPath, c.StateDir} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("cannot see whether %s is empty: %w", dir, err)
		}
		for _, e := range entries {
			if e.Name() == "lost+found" { // of a file system that is mounted there
				continue
			}
			return fmt.Errorf("cannot wait for a user: %s is in %s, and this sandbox was not bound; start it with its user's variables and without %s to save it, and a new one with an empty home and state",
				e.Name(), dir, contract.EnvUnbound)
		}
	}
	return nil
}
