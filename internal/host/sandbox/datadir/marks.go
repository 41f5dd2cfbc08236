package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// MarkStop remembers that the sandbox was told from outside to end.
func (s Sandbox) MarkStop() error { return s.mark("stop") }

// MarkTimeout remembers that it is ended by its time limit.
func (s Sandbox) MarkTimeout() error { return s.mark("timeout") }

// MarkLogCut remembers that the beginning of the output may be missing in LogFile.
func (s Sandbox) MarkLogCut() error { return s.mark("log.cut") }

// LogCut says whether MarkLogCut was called.
func (s Sandbox) LogCut() bool { return s.marked("log.cut") }

func (s Sandbox) mark(name string) error {
	f, err := os.OpenFile(s.file(name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot note why the sandbox %s is stopped: %w", s.ID, err)
	}
	return f.Close()
}

// StopMarked says whether MarkStop was called, TimeoutMarked MarkTimeout; ClearMarks
// forgets both for another run.
func (s Sandbox) StopMarked() bool { return s.marked("stop") }

// TimeoutMarked see StopMarked.
func (s Sandbox) TimeoutMarked() bool { return s.marked("timeout") }

func (s Sandbox) marked(name string) bool {
	_, err := os.Stat(s.file(name))
	return err == nil
}

// ClearMarks see StopMarked.
func (s Sandbox) ClearMarks() error {
	for _, name := range []string{"stop", "timeout"} {
		if err := os.Remove(s.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
