package pid1

import (
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
