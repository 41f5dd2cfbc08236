package hostd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
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

// A line is short however long the request of a sandbox is: 983 refusals of long requests were 177 MB.
func TestTextsInTheLogAreCut(t *testing.T) {
	var b bytes.Buffer
	long := strings.Repeat("\x01", 180<<10) // six bytes each in JSON
	newLogger(&b).Warn("refused", "path", long, "error", errors.New(long))
	if b.Len() > 8<<10 || strings.Count(b.String(), "... (184320 bytes)") != 2 || !strings.Contains(b.String(), `"level":"WARN"`) {
		t.Errorf("the line has %d bytes: %.200s", b.Len(), &b)
	}
}
