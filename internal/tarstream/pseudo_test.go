package tarstream

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// What the kernel makes when it is read has no size before, and is copied whole all the same.
func TestPackFileOfProc(t *testing.T) {
	want, err := os.ReadFile("/proc/version")
	if err != nil || len(want) == 0 {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := Pack(&stream, "/proc/version", PackOptions{Progress: &Progress{}}); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := Unpack(&stream, out, UnpackOptions{Progress: &Progress{}}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out + "/version"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("it is %q, %v", got, err)
	}
}

// A device has no content to copy, and asked for by itself that is an error.
func TestPackDeviceIsRefused(t *testing.T) {
	err := Pack(io.Discard, "/dev/null", PackOptions{Progress: &Progress{}, Note: func(name, reason string) { t.Errorf("%s is left out: %s", name, reason) }})
	if err == nil || !strings.Contains(err.Error(), noFile) {
		t.Errorf("Pack gives %v", err)
	}
}
