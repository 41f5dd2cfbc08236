// Command sandbox-conformance-probe is what the suite runs inside of sandboxes. It is a
// program of its own so that it is small and starts in a millisecond.
package main

import (
	"os"
	"strings"

	"github.com/matrx/sandbox/conformance/probe"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 {
		// A script's "#!" line passes all that follows the interpreter as one argument (execve(2)).
		args = append(strings.Fields(args[0]), args[1:]...)
	}
	os.Exit(probe.Main(args))
}
