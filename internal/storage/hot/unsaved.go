package hot

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
)

// unsavedPath is where the list is of the files that could not be saved.
func unsavedPath(c *config.Config) string { return filepath.Join(c.StateDir, contract.UnsavedFileName) }

// writeUnsaved writes the list of what is missing, or removes an old one.
func writeUnsaved(c *config.Config, log *slog.Logger, files []contract.Unsaved) error {
	path := unsavedPath(c)
	if len(files) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot remove the old list of what was not saved: %w", err)
		}
		return nil
	}
	for i, f := range files {
		if i == mostLogged {
			log.Error("and more", "event", "unsaved", "files", len(files)-i, "list", path)
			break
		}
		log.Error("not saved", "event", "unsaved", "path", f.Path, "reason", f.Reason)
	}
	b, err := json.MarshalIndent(contract.UnsavedList{SandboxID: c.SandboxID, Time: time.Now().UTC(), Files: files}, "", "  ")
	if err == nil {
		err = writeWhole(path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write the list of what was not saved: %w", err)
	}
	return nil
}

// mostLogged is how much of the list goes to the log.
const mostLogged = 1000

func writeWhole(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
