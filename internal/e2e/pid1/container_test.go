package pid1

import (
	"os/exec"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/testbed"
)

// leastRights are what a sandbox is started with, as docker run's options.
var leastRights = []string{"--user", "0", "--security-opt", "no-new-privileges", "--cap-drop", "ALL",
	"--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "SETPCAP", "--cap-add", "KILL",
	"--cap-add", "CHOWN", "--cap-add", "FOWNER", "--cap-add", "DAC_OVERRIDE"}

// contained starts a container of base with a command, whose user is its name, and whose home is
// kept in the bucket. It goes with the test.
func contained(t *testing.T, b *testbed.Bucket, name string, options []string, command ...string) {
	t.Helper()
	s3 := b.Config()
	args := append([]string{"run", "--detach", "--name", name, "--network", "host",
		"--volume", b.Server.CredentialsFile() + ":/run/credentials:ro", "--env", contract.EnvS3CredentialsFile + "=/run/credentials",
		"--env", contract.EnvSandboxID + "=" + name, "--env", contract.EnvUserID + "=" + name,
		"--env", contract.EnvS3Bucket + "=" + s3.Bucket, "--env", contract.EnvS3Region + "=" + s3.Region, "--env", contract.EnvS3Endpoint + "=" + s3.Endpoint,
	}, leastRights...)
	args = append(append(append(args, options...), catalog.Reference("", "base", "")), command...)
	remove := func() { _ = exec.Command("docker", "rm", "--force", "--volumes", name).Run() }
	remove()
	t.Cleanup(remove)
	harness.EngineOK(t, args...)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("docker", "logs", "--tail", "50", name).CombinedOutput()
			t.Logf("the log of %s:\n%s", name, out)
		}
	})
}
