package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// conformanceCommand is `sandbox conformance`: it becomes the suite's own program, which is
// a module of its own and lies beside this one.
type conformanceCommand struct {
	Args []string `arg:"" optional:"" passthrough:"" help:"IMAGE and the suite's flags; conformance --help lists them."`
}

const suiteProgram = "sandbox-conformance"

func (c *conformanceCommand) Run() error {
	program, err := findSuite()
	if err != nil {
		return err
	}
	err = syscall.Exec(program, append([]string{program}, c.Args...), os.Environ())
	return fmt.Errorf("cannot start %s: %w", program, err)
}

// findSuite looks beside this program first, so that both are of one build.
func findSuite() (string, error) {
	if self, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(self); err == nil {
			self = resolved
		}
		beside := filepath.Join(filepath.Dir(self), suiteProgram)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	program, err := exec.LookPath(suiteProgram)
	if err != nil {
		return "", errors.New("cannot find " + suiteProgram + " beside this program or on PATH; build it with `make build`")
	}
	return filepath.Abs(program)
}
