package process

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/testbed/testpart"
)

// parts is filled by the tests' files.
var parts = map[string]func() error{}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == LaunchRole {
		os.Exit(Launch(os.Args[2:]))
	}
	testpart.Main(m, parts)
}

// becomeInit gives a part a reaper, fed by signals, and its orphans.
func becomeInit() (*Reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	signals, err := CatchSignals()
	if err != nil {
		return nil, err
	}
	return NewReaper(signals.Children), nil
}

// shell is a Spec that runs a script.
func shell(script string) Spec {
	return Spec{Argv: []string{"sh", "-c", script}, Env: os.Environ(), Files: [3]uintptr{0, 1, 2}, Terminal: -1}
}
