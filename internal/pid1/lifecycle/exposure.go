package lifecycle

import (
	"fmt"
	"strings"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/pid1/privilege"
)

// exposure finds out, before anything runs, whether the workload could get at what
// speaks for the workspace in S3. A file of credentials that it can read is an error. A
// socket that it can reach speaks for this workspace alone: it is returned, and what is said of the
// sandbox is then that nothing is isolated.
func (o Options) exposure() (socket string, err error) {
	if !o.Config.HasStorage() {
		return "", nil
	}
	if _, err := readCredentials(o.Config, o.Environ); err != nil {
		return "", err
	}
	if o.Mode != privilege.Root {
		return "", nil
	}
	if path := o.Config.S3.CredentialsFile; path != "" && privilege.AgentReads(path) {
		return "", fmt.Errorf("cannot keep the credentials from the workload: the agent can read %s=%s; make it root's with mode 0600 (in Kubernetes: defaultMode 0400)",
			contract.EnvS3CredentialsFile, path)
	}
	if path, ok := strings.CutPrefix(o.Config.S3.Endpoint, "unix://"); ok && privilege.AgentReaches(path) {
		return path, nil
	}
	return "", nil
}
