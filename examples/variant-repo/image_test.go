package frame

import (
	"testing"

	"github.com/matrx/sandbox/conformance"
)

func TestImage(t *testing.T) {
	conformance.Run(t, conformance.Options{Image: "frame-sandbox", Checks: []string{"checks/10-frames-text"}})
}
