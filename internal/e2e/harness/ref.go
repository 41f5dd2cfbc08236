package harness

import (
	"crypto/rand"
	"strings"
)

var process = strings.ToLower(rand.Text()[:8])

// Ref is the name of an image that tests of this process make and remove. No other process uses it: an image that a
// killed run has left under a fixed name would lose its name to the next run, and stay for ever.
func Ref(name string) string { return "matrx-sandbox-e2e-" + name + ":" + process }
