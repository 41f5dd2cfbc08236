package figlet

import (
	"testing"

	"github.com/matrx/sandbox/conformance"
)

func TestImage(t *testing.T) {
	conformance.Run(t, conformance.Options{Image: "figlet-sandbox", Checks: []string{"checks/writes-large-letters"}})
}
