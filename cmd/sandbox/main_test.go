package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sandbox": main})
}

// A script's home is its own: testscript gives /no-home, which the go tool would make.
func TestScripts(t *testing.T) {
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatalf("go env GOCACHE: %v", err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(e *testscript.Env) error {
		e.Setenv("HOME", filepath.Join(e.WorkDir, ".home"))
		e.Setenv("GOCACHE", strings.TrimSpace(string(cache)))
		return nil
	}})
}

// startS3 starts `sandbox s3` as a child and reads its line of JSON.
func startS3(t *testing.T, args ...string) (*exec.Cmd, map[string]any) {
	t.Helper()
	cmd := exec.Command(filepath.Join(filepath.SplitList(os.Getenv("PATH"))[0], "sandbox"), append([]string{"s3", "--json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("it says %q, %v", line, err)
	}
	var ready map[string]any
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatalf("it says %q: %v", line, err)
	}
	return cmd, ready
}

// What a test or a script needs to know is on the first line of stdout, and nothing else is.
func TestS3SaysWhereItIs(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s.sock")
	cmd, ready := startS3(t, "--data", filepath.Join(dir, "data"), "--listen", "unix://"+socket, "--access-key", "key", "--secret-key", "secret", "--bucket", "bucket")
	if ready["event"] != "s3_ready" || ready["endpoint"] != "unix://"+socket || ready["access_key"] != "key" || ready["secret_key"] != "secret" {
		t.Errorf("it says %v", ready)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "bucket")); err != nil {
		t.Error(err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("on SIGTERM it ends with %v", err)
	}
}

// A test that is killed leaves no server behind.
func TestS3EndsWithItsParent(t *testing.T) {
	parent := exec.Command("sleep", "1000")
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parent.Process.Kill() })
	cmd, _ := startS3(t, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--parent-pid", strconv.Itoa(parent.Process.Pid))
	parent.Process.Kill()
	parent.Wait()
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	// One that has ended before is no parent to wait for.
	late := exec.Command(cmd.Path, "s3", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--parent-pid", strconv.Itoa(parent.Process.Pid))
	if out, err := late.CombinedOutput(); err != nil || strings.Contains(string(out), "ready") {
		t.Errorf("with a dead parent: %s, %v", out, err)
	}
}
