package trash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// errMounted says that a process has an entry mounted.
var errMounted = errors.New("it is mounted")

// checkUnmounted looks into the mounts of all processes: a container has its own. The kernel shows a mounted
// directory by its present path, wherever it was when it was mounted (proc(5), mountinfo), and no other has
// an entry's name.
func checkUnmounted(name string) error {
	all, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		return err
	}
	for _, path := range all {
		mounts, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}
		if shows(mounts, name) {
			return fmt.Errorf("%w in a container or elsewhere, as %s says; the next daemon tries again", errMounted, path)
		}
	}
	return nil
}

// shows says whether one of the mounts is of the entry, or of something in it.
func shows(mounts []byte, name string) bool {
	if !bytes.Contains(mounts, []byte(name)) {
		return false
	}
	for line := range bytes.Lines(mounts) {
		const root = 3 // the field: the directory that is mounted
		if f := bytes.Fields(line); len(f) > root && bytes.Contains(f[root], []byte("/"+name)) {
			return true
		}
	}
	return false
}
