package tarstream

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A file with holes takes as much room at its destination as at its source, and is the same.
func TestHolesStayHoles(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, text := range map[int64]string{1: "first", 5 << 20: "middle", 8<<20 + 4095: "across two blocks"} {
		if _, err := f.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(64<<20 + 1); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := Pack(w, src, PackOptions{})
		w.CloseWithError(err)
		packed <- err
	}()
	if err := Unpack(r, dst, UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-packed; err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(src)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dst)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrive of %d, or others, %v", len(got), len(want), err)
	}
	if from, to := room(t, src), room(t, dst); to > from+2*holeSize {
		t.Errorf("it takes %d bytes, at its source %d", to, from)
	}
}

// room is what a file takes on the disk.
func room(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
