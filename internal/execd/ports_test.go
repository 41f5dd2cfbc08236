package execd

import (
	"strings"
	"testing"
)

// TestListOfPortsIsBounded: how many listen is the agent's to say.
func TestListOfPortsIsBounded(t *testing.T) {
	const line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 1\n"
	if got := len(listening(strings.NewReader(strings.Repeat(line, 3*mostListed)))); got != mostListed {
		t.Errorf("%d are listed", got)
	}
}
