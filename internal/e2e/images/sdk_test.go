package images

import (
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// matrx_agent's own tests, with the Python and as the user for which it is meant. They
// are run against the installed package: the checkout's is not mounted.
func TestImageAgentSDK(t *testing.T) {
	tests, err := filepath.Abs(filepath.Join(harness.Repository, "sdk/python/tests"))
	if err != nil {
		t.Fatal(err)
	}
	options := append([]string{"--volume", tests + ":/srv:ro", "--workdir", "/srv"}, restricted...)
	if r := harness.InImage(t, catalog.Reference("", "core", ""), options, "python3", "-B", "-m", "unittest", "test_matrx_agent"); r.Code != 0 {
		t.Errorf("the tests of matrx_agent: %v", r)
	}
}

// In a sandbox, matrx_agent says what sandbox-init says.
func TestImageAgentSDKInASandbox(t *testing.T) {
	const program = `
import matrx_agent
print(*matrx_agent.info(), matrx_agent.status().phase, matrx_agent.status().ready, matrx_agent.status().storage)
try:
    matrx_agent.checkpoint()
except matrx_agent.NotInSandbox as e:
    print(e)
`
	box := harness.Idle(t, catalog.Reference("", "core", ""), append([]string{"--env", "SANDBOX_ID=s1", "--env", "USER_ID=u1"}, restricted...)...)
	harness.Ready(t, box)
	got := harness.EngineOK(t, "exec", box, "python3", "-c", program)
	const want = "s1 u1 /home/agent /data/cold run True none\ncannot save: this sandbox has no storage (S3_BUCKET was not set)"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
