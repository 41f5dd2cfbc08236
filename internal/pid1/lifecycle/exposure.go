package lifecycle

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
)

// checkExposure finds out, before anything runs, whether the workload could get at what
// speaks for the workspace in S3. A file of credentials that it can read is an error. A
// socket that it can reach speaks for this workspace alone; what is said of the sandbox
// is then that nothing is isolated.
func (s *sandbox) checkExposure() error {
	if s.storage == nil {
		return nil
	}
	if _, err := readCredentials(s.Config, s.Environ); err != nil {
		return err
	}
	if s.Mode != privilege.Root {
		return nil
	}
	if path := s.Config.S3.CredentialsFile; path != "" && privilege.AgentReads(path) {
		return fmt.Errorf("cannot keep the credentials from the workload: the agent can read %s=%s; make it root's with mode 0600 (in Kubernetes: defaultMode 0400)",
			contract.EnvS3CredentialsFile, path)
	}
	if path, ok := strings.CutPrefix(s.Config.S3.Endpoint, "unix://"); ok && privilege.AgentReaches(path) {
		s.state.state.Isolation = contract.IsolationNone
		s.log.Warn("the workload can reach the workspace in S3 by itself, past the lease: it may enter the directory of the storage socket",
			"event", "socket_exposed", "socket", path, "hint", "make "+filepath.Dir(path)+" root's with mode 0700")
	}
	return nil
}
