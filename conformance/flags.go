package conformance

import (
	"flag"
	"testing"
)

// contractFlag is go test's own: `go test ./... -contract=1.0` selects the requirements
// that exist since at most that version. Programs get no flag.
var contractFlag string

func init() {
	if testing.Testing() {
		flag.StringVar(&contractFlag, "contract", "", "judge images by this version of the sandbox contract")
	}
}
