package control

import (
	"bytes"
	"encoding/json"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/contract"
)

func TestStopTellsPID1(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	c := call{runDir: dir, stdout: &out, stderr: &errs}
	none := func(int, syscall.Signal) error { t.Error("somebody was signalled"); return nil }
	if code := c.stop(nil, none); code == 0 || !strings.Contains(errs.String(), "no sandbox is running here") {
		t.Errorf("without a sandbox: %d %s", code, &errs)
	}
	state, err := json.Marshal(contract.State{PID: 4321})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, contract.StateFileName), state, 0o644); err != nil {
		t.Fatal(err)
	}
	told := 0
	t.Cleanup(func() { signal.Reset(syscall.SIGTERM) })
	if code := c.stop(nil, func(pid int, sig syscall.Signal) error {
		// The drain's own signal comes before this process has exited.
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Error(err)
		}
		if sig == syscall.SIGTERM {
			told = pid
		}
		return nil
	}); code != 0 || told != 4321 {
		t.Errorf("code %d, SIGTERM went to %d", code, told)
	}
	errs.Reset()
	if code := c.stop(nil, func(int, syscall.Signal) error { return syscall.EPERM }); code == 0 || !strings.Contains(errs.String(), "the user that started it") {
		t.Errorf("without the right: %d %s", code, &errs)
	}
}
