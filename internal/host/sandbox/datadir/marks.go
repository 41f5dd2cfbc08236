package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fsnotify/fsnotify"
)

// Marks are what programs of the host have noted of a sandbox, for the process that looks after it. Each is a file
// of its own, so that none needs the lock.
type Marks struct{ sandbox Sandbox }

// Marks are those of this sandbox.
func (s Sandbox) Marks() Marks { return Marks{s} }

const (
	stopMark    = "stop"
	timeoutMark = "timeout"
	logCutMark  = "log.cut"
)

// SetStop notes that the sandbox was told from outside to end.
func (m Marks) SetStop() error { return m.set(stopMark) }

// SetTimeout notes that it is ended by its time limit.
func (m Marks) SetTimeout() error { return m.set(timeoutMark) }

// SetLogCut notes that the beginning of the output may be missing in LogFile.
func (m Marks) SetLogCut() error { return m.set(logCutMark) }

func (m Marks) set(name string) error {
	f, err := os.OpenFile(m.sandbox.file(name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot leave the mark %s of the sandbox %s: %w", name, m.sandbox.ID, err)
	}
	return f.Close()
}

// Stop says whether SetStop was called.
func (m Marks) Stop() bool { return m.has(stopMark) }

// Timeout says whether SetTimeout was called.
func (m Marks) Timeout() bool { return m.has(timeoutMark) }

// LogCut says whether SetLogCut was called.
func (m Marks) LogCut() bool { return m.has(logCutMark) }

func (m Marks) has(name string) bool {
	_, err := os.Stat(m.sandbox.file(name))
	return err == nil
}

// Clear forgets stop and timeout for another run.
func (m Marks) Clear() error {
	for _, name := range []string{stopMark, timeoutMark} {
		if err := os.Remove(m.sandbox.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// AwaitStop waits for the mark of SetStop, or until ctx is done.
func (m Marks) AwaitStop(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch the sandbox %s: %w", m.sandbox.ID, err)
	}
	defer w.Close()
	if err := w.Add(m.sandbox.path); err != nil {
		return fmt.Errorf("cannot watch the sandbox %s: %w", m.sandbox.ID, err)
	}
	for !m.Stop() {
		select {
		case <-w.Events:
		case err := <-w.Errors:
			return fmt.Errorf("cannot watch the sandbox %s: %w", m.sandbox.ID, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
