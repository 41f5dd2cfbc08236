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

// TestHolesAreFoundInPiecesOfAnySize: what is written arrives in pieces that end anywhere, and what lies between two holes
// takes one call.
func TestHolesAreFoundInPiecesOfAnySize(t *testing.T) {
	content := make([]byte, 64*holeSize+17)
	for _, at := range []int{0, 5*holeSize - 1, 9 * holeSize, 11*holeSize + 7, 40 * holeSize, 64*holeSize + 16} {
		content[at] = 'x'
	}
	copy(content[20*holeSize:30*holeSize], bytes.Repeat([]byte("data"), 10*holeSize/4))
	for _, piece := range []int{1, 7, holeSize - 1, holeSize, holeSize + 1, 10*holeSize + 5, len(content)} {
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h := &holes{f: f}
		for rest := content; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			some := rest[:min(piece, len(rest))]
			if n, err := h.Write(some); n != len(some) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := h.close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("in pieces of %d: %d bytes of %d, or others, %v", piece, len(got), len(content), err)
		}
		if most := int64(17 * holeSize); piece >= holeSize && piece%holeSize == 0 && room(t, f.Name()) > most {
			t.Errorf("in pieces of %d it takes %d bytes, of which %d are needed", piece, room(t, f.Name()), most)
		}
	}
	h := &holes{}
	for _, tc := range []struct {
		at   int64
		data []byte
		want int
	}{
		{0, content[20*holeSize : 30*holeSize], 10 * holeSize},
		{0, content[20*holeSize : 33*holeSize], 10 * holeSize},
		{3, content[20*holeSize+3 : 33*holeSize], 10*holeSize - 3},
		{0, content[12*holeSize : 30*holeSize], 0},
		{1, make([]byte, 3*holeSize), holeSize - 1},
		{0, make([]byte, holeSize-1), holeSize - 1},
	} {
		if h.at = tc.at; h.upToHole(tc.data) != tc.want {
			t.Errorf("of %d bytes at %d there are %d before a hole, want %d", len(tc.data), tc.at, h.upToHole(tc.data), tc.want)
		}
	}
}
