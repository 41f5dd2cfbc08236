package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
)

// boot makes the directories and says what kind of sandbox this is. It returns 0, or
// the exit code of what cannot be mended by waiting.
func (s *sandbox) boot() int {
	var withheld []string
	s.env, withheld = privilege.WorkloadEnviron(s.Environ, s.Config.HotPath)
	err := s.directories()
	if err == nil {
		err = s.checkExposure()
	}
	if err == nil && s.Config.ExecSocket != "" {
		s.execd, err = newExecd(s)
	}
	if err != nil {
		s.log.Error("cannot start the sandbox", "event", "boot_failed", "error", err.Error())
		return contract.ExitConfig
	}
	go s.state.run()
	s.state.update(func(st *contract.State) {
		if s.storage != nil {
			st.Storage = contract.StorageS3
		}
	})
	s.log.Info("the sandbox starts", "event", "boot", "sandbox_id", s.Config.SandboxID, "user_id", s.Config.UserID,
		"version", s.Version, "isolation", s.state.state.Isolation, "storage", s.state.state.Storage)
	if s.storage == nil {
		s.log.Warn("nothing in this sandbox is kept: "+contract.EnvS3Bucket+" is not set, and the home is lost when the container is removed",
			"event", "storage_none")
	}
	if len(withheld) > 0 {
		s.log.Info("variables are kept from the workload", "event", "environment_withheld", "variables", strings.Join(withheld, " "))
	}
	<-s.reserved // before anything else runs in this container that could use up its limit
	s.execd.start()
	return 0
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
