package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/matrx/sandbox/contract"
)

// stateFile keeps contract.State on disk, whole at every instant: each change is
// written under another name and renamed.
type stateFile struct {
	path  string
	log   *slog.Logger
	state contract.State
	last  []byte
	sick  bool // the last write failed, and the log says so
}

func newStateFile(runDir string, log *slog.Logger, first contract.State) *stateFile {
	return &stateFile{path: filepath.Join(runDir, contract.StateFileName), log: log, state: first}
}

// update changes the state and writes it. That it cannot be written stops nothing: the
// workload matters more than who watches it.
func (f *stateFile) update(change func(*contract.State)) {
	change(&f.state)
	if err := f.write(); err != nil {
		if !f.sick {
			f.log.Error("status is out of date", "event", "state_unwritable", "error", err)
		}
		f.sick = true
		return
	}
	f.sick = false
}

func (f *stateFile) write() error {
	body, err := json.Marshal(f.state)
	if err != nil {
		return fmt.Errorf("cannot encode the state: %w", err)
	}
	if string(body) == string(f.last) {
		return nil
	}
	next := f.path + ".next"
	if err := os.WriteFile(next, body, 0o644); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	if err := os.Rename(next, f.path); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	f.last = body
	return nil
}

// readyFile exists exactly while the sandbox is ready.
type readyFile string

// withdraw removes it. In a restarted container it may be there from before.
func (f readyFile) withdraw() error {
	err := os.Remove(string(f))
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("cannot remove the ready file: %w; check %s", err, contract.EnvReadyFile)
}

// create makes it anew and never writes through what somebody else has put there: its
// directory, /tmp, is everybody's.
func (f readyFile) create() error {
	if err := f.withdraw(); err != nil {
		return err
	}
	file, err := os.OpenFile(string(f), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot create the ready file: %w; check %s", err, contract.EnvReadyFile)
	}
	return file.Close()
}
