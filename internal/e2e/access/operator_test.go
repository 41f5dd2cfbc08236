package access

import (
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

// operator adds what the tests of access ask of a sandbox.
type operator struct{ *harness.Operator }

func newOperator(t *testing.T) *operator {
	t.Helper()
	return &operator{harness.NewOperator(t)}
}
