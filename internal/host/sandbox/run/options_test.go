package run

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
)

// TestVariablesThatAreNotTheOperators: a run sets them itself, or they would make its sandbox another's.
func TestVariablesThatAreNotTheOperators(t *testing.T) {
	for _, name := range []string{
		contract.EnvUserID, contract.EnvExecSocket, contract.EnvUnbound, contract.EnvBindSocket, contract.EnvInstance, "AWS_SECRET_ACCESS_KEY",
	} {
		if err := checkVariable(name + "=1"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("--env %s: %v", name, err)
		}
	}
	for _, kv := range []string{"CI=1", "CI", contract.EnvLeaseWait + "=5"} {
		if err := checkVariable(kv); err != nil {
			t.Errorf("--env %s: %v", kv, err)
		}
	}
}
