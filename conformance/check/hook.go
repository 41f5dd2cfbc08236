package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Hook makes a directory with one executable that calls the probe, to be mounted over a hooks
// directory. The kernel runs it by its #! line: no shell is needed.
func (e *Env) Hook(name string, args ...string) (dir string, err error) {
	dir, err = os.MkdirTemp(e.fixture.Dir, "hooks-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	return dir, AddHook(dir, name, args...)
}

// AddHook puts one more executable into a directory of Hook.
func AddHook(dir, name string, args ...string) error {
	text := fmt.Sprintf("#!%s hook %s\n", Probe, strings.Join(args, ","))
	// The kernel passes what follows the interpreter as one argument (execve(2)); the probe splits it.
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755)
}
