package hostd

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// However much is logged, the files stay bounded, and the newest lines are there.
func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), logName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := &boundedLog{path: path, file: f}
	line := append(bytes.Repeat([]byte("x"), 1<<16-1), '\n')
	for range 3 * maxLog / len(line) {
		if _, err := l.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("the last\n")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	var size int64
	for _, e := range entries {
		if fi, err := e.Info(); err == nil {
			size += fi.Size()
		}
	}
	b, rerr := os.ReadFile(path)
	if err != nil || rerr != nil || len(entries) != 2 || size > 2*maxLog || !bytes.HasSuffix(b, []byte("the last\n")) {
		t.Errorf("%d files with %d bytes, %v, %v", len(entries), size, err, rerr)
	}
}
