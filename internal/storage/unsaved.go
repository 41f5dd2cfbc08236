package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// addCold puts what the cold path could not save beside what the hot path could not: into the
// answer to PID 1, and into contract.UnsavedFileName, which the hot path's flush has just
// written or removed.
func (s *session) addCold(f *wire.Flushed, files []contract.Unsaved) {
	if len(files) == 0 {
		return
	}
	f.UnsavedCount += int64(len(files))
	f.Unsaved = append(f.Unsaved, files...)
	if f.Reason == "" {
		f.Reason = "not everything in the cold path was saved in time"
	}
	for i, u := range files {
		if i == mostLogged {
			s.log.Error("and more", "event", "unsaved", "files", len(files)-i)
			break
		}
		s.log.Error("not saved", "event", "unsaved", "path", u.Path, "reason", u.Reason)
	}
	if err := s.appendUnsaved(files); err != nil {
		s.log.Error("the list of what was not saved cannot be written", "event", "unsaved_list_failed", "error", err)
	}
}

// mostLogged is how much of the list goes to the log.
const mostLogged = 1000

func (s *session) appendUnsaved(files []contract.Unsaved) error {
	path := filepath.Join(s.cfg.StateDir, contract.UnsavedFileName)
	list := contract.UnsavedList{SandboxID: s.cfg.SandboxID, Time: time.Now().UTC()}
	switch old, err := os.ReadFile(path); {
	case err == nil:
		if err := json.Unmarshal(old, &list); err != nil {
			return fmt.Errorf("cannot decode %s: %w", path, err)
		}
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	list.Files = append(list.Files, files...)
	content, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(s.cfg.StateDir, contract.UnsavedFileName+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(append(content, '\n'))
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
