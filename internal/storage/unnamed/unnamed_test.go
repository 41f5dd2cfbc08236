package unnamed

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFileHasNoName(t *testing.T) {
	for name, make := range map[string]func(string) (*os.File, error){"File": File, "without O_TMPFILE": named} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := make(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString("content"); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(io.NewSectionReader(f, 0, 100)); err != nil || string(got) != "content" {
				t.Errorf("it reads %q, %v", got, err)
			}
			if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
				t.Errorf("its mode is %v, %v", info.Mode(), err)
			}
			if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
				t.Errorf("the directory holds %v, %v", names, err)
			}
		})
	}
}

func TestFileSaysWhyItCannotBeMade(t *testing.T) {
	if _, err := File(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}
