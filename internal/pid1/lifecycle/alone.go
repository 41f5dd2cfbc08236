package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// alone takes the run directory for this process, until it ends, however it ends: the lock is
// on the directory itself (flock(2)). A sandbox-init that is executed in a running
// sandbox, by a mistyped subcommand or a habit of writing the entrypoint, would otherwise
// become a second supervisor of the same home, and overwrite what the first says of itself.
func (s *sandbox) alone() error {
	fd, err := unix.Open(s.Config.RunDir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", s.Config.RunDir, err)
	}
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return nil // and fd stays open
	}
	_ = unix.Close(fd)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("cannot lock %s: %w", s.Config.RunDir, err)
	}
	return fmt.Errorf("a sandbox runs here already (%sin %s): a command that is executed in it needs no sandbox-init before it, and sandbox-init --help lists the subcommands; a second sandbox needs a %s of its own",
		holder(s.Config.RunDir), s.Config.RunDir, contract.EnvRunDir)
}

// holder names the process that says that it is the sandbox's.
func holder(runDir string) string {
	b, err := os.ReadFile(filepath.Join(runDir, contract.StateFileName))
	var st contract.State
	if err != nil || json.Unmarshal(b, &st) != nil {
		return ""
	}
	return fmt.Sprintf("PID %d, ", st.PID)
}
