// Package scripts_test holds the tests of the scripts that run the other tests.
package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestPathHoldsWhatTheListsBringAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("# a comment\n\njq # and another\nrsync\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "path")
	if out, err := exec.Command("./test-path.sh", path, list).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for program, want := range map[string]bool{
		"jq": true, "rsync": true, // of the list
		"sqlite3": false, "ffmpeg": false, "gcc": false, "tini": false, // of test.apt, not of the list
		"sh": true, "awk": true, "mount": true, "mkfs.ext4": true, // of every Debian
		"go": true, "gofmt": true, "git": true, "make": true, // what README.md asks for
	} {
		_, err := os.Stat(filepath.Join(path, program))
		if got := err == nil; got != want {
			t.Errorf("has %s: %v, not %v", program, got, want)
		}
	}
	// A program finds what lies beside it although it is started through a link.
	for _, line := range []string{"go version", "git --version", "jq --version"} {
		cmd := exec.Command(filepath.Join(path, "sh"), "-c", line)
		cmd.Env = append(os.Environ(), "PATH="+path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
		}
	}
}
