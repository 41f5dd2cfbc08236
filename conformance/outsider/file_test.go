package outsider

import (
	"io"
	"os"
	"path/filepath"
)

// file is a file of a module, for package zip.
type file struct{ dir, name string }

// Path implements zip.File.
func (f file) Path() string { return filepath.ToSlash(f.name) }

// Lstat implements zip.File.
func (f file) Lstat() (os.FileInfo, error) { return os.Lstat(filepath.Join(f.dir, f.name)) }

// Open implements zip.File.
func (f file) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(f.dir, f.name)) }
