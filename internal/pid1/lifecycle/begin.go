package lifecycle

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
)

// begin makes the sandbox the one that its configuration says: at a start right after boot, else at the bind.
func (s *sandbox) begin(late bool) {
	var withheld []string
	s.env, withheld = privilege.WorkloadEnviron(s.Environ, s.Config.HotPath)
	socket, _ := s.exposure() // boot or bind has checked
	if !s.Config.HasStorage() {
		s.storage.end() // one that has waited in vain
		s.storage = nil
	}
	change := s.state.update
	if late {
		change = s.state.publish // before the client has its answer
	}
	change(func(st *contract.State) {
		st.SandboxID, st.UserID = s.Config.SandboxID, s.Config.UserID
		if s.storage != nil {
			st.Storage = contract.StorageS3
		}
		if socket != "" {
			st.Isolation = contract.IsolationNone
		}
		if late {
			st.BoundAt = time.Now().UTC()
		}
	})
	s.log.Info("the sandbox starts", "event", "boot", "sandbox_id", s.Config.SandboxID, "user_id", s.Config.UserID,
		"version", s.Version, "isolation", s.state.state.Isolation, "storage", s.state.state.Storage)
	if socket != "" {
		s.log.Warn("the workload can reach the workspace in S3 by itself, past the lease: it may enter the directory of the storage socket",
			"event", "socket_exposed", "socket", socket, "hint", "make "+filepath.Dir(socket)+" root's with mode 0700")
	}
	if s.storage == nil {
		s.log.Warn("nothing in this sandbox is kept: "+contract.EnvS3Bucket+" is not set, and the home is lost when the container is removed",
			"event", "storage_none")
	}
	if len(withheld) > 0 {
		s.log.Info("variables are kept from the workload", "event", "environment_withheld", "variables", strings.Join(withheld, " "))
	}
	s.execd.begin(s.env)
}
