package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
)

// boot makes the directories and the sockets, and checks what is known of the sandbox. It returns 0, or
// the exit code of what cannot be mended by waiting.
func (s *sandbox) boot() int {
	if err := s.make(); err != nil {
		s.log.Error("cannot start the sandbox", "event", "boot_failed", "error", err.Error())
		return contract.ExitConfig
	}
	go s.state.run()
	<-s.reserved // before anything else runs in this container that could use up its limit
	return 0
}

func (s *sandbox) make() error {
	err := s.directories()
	if path := s.Config.BindSocket; err == nil && path != "" {
		if err = s.recall(); err == nil {
			s.binder, err = newBinder(path, s.Mode)
		}
	}
	if err == nil {
		_, err = s.exposure()
	}
	if err == nil && s.Config.ExecSocket != "" {
		s.execd, err = newExecd(s)
	}
	return err
}

// directories makes what is missing and takes from the agent the directories that are not its own.
func (s *sandbox) directories() error {
	c := s.Config
	for _, dir := range []struct {
		path, variable string
		mode           os.FileMode
		agents         bool // the agent's own; else this process's
	}{
		{c.RunDir, contract.EnvRunDir, 0o755, false}, // first: see alone
		{c.StateDir, contract.EnvStateDir, 0o700, false},
		{c.HotPath, contract.EnvHotPath, 0o755, true},
	} {
		if err := s.directory(dir.path, dir.mode, dir.agents); err != nil {
			return fmt.Errorf("cannot use %s: %w; check %s and what is mounted there", dir.path, err, dir.variable)
		}
		if dir.path == c.RunDir {
			if err := s.alone(); err != nil {
				return err
			}
		}
	}
	// What an earlier start of this container left is no longer true.
	if err := s.ready.withdraw(); err != nil {
		return err
	}
	for _, stale := range []string{contract.StateFileName, contract.ControlSocketName} {
		if err := clearName(filepath.Join(c.RunDir, stale)); err != nil {
			return fmt.Errorf("cannot remove what an earlier start left: %w", err)
		}
	}
	s.coldDirectory()
	return nil
}

// directory makes one and gives it to its owner. An existing home keeps its mode. As
// the agent there is no other owner to give it to.
func (s *sandbox) directory(path string, mode os.FileMode, agents bool) error {
	before, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(path, mode); err != nil {
			return err
		}
	} else if err != nil {
		return err
	} else if !before.IsDir() {
		return errors.New("it is not a directory")
	}
	if s.Mode != privilege.Root {
		return nil
	}
	owner, group := 0, 0
	if agents {
		owner, group = contract.AgentUID, contract.AgentGID
	}
	if err := os.Lchown(path, owner, group); err != nil {
		return err
	}
	if agents && before != nil {
		return nil
	}
	return os.Chmod(path, mode)
}
