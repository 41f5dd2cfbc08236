//go:build long

package images

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

// TestSelectChainWithTheSuite: an image of a user's own is registered, judged by the whole suite,
// selected and run.
func TestSelectChainWithTheSuite(t *testing.T) {
	ref := harness.Ref("greeter-judged")
	suite, err := filepath.Abs(filepath.Join(harness.Repository, "bin", "sandbox-conformance"))
	if err != nil {
		t.Fatal(err)
	}
	chain(t, ref, func(*harness.Operator, string) {
		if out, err := exec.Command(suite, ref).CombinedOutput(); err != nil {
			t.Fatalf("the suite: %v\n%s", err, out)
		}
	})
}
