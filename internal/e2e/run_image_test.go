package e2e

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
)

// An operator who is not root leaves nothing behind either, although the container's root
// has written in a directory of theirs.
func TestRunByAnOperatorWhoIsNotRoot(t *testing.T) {
	o := newOperator(t)
	o.as(contract.AgentUID)
	base := catalog.Reference("", "base", "")
	if r := o.do(nil, "run", "--image", base, "--user-id", "u", "--sandbox-id", "one", "--", "sh", "-c", "echo kept >~/file"); r.code != 0 {
		t.Fatal(r)
	}
	if r := o.do(nil, "run", "--image", base, "--user-id", "u", "-q", "--", "sh", "-c", "cat ~/file"); r.code != 0 || r.stdout != "kept\n" {
		t.Errorf("the next one: %v", r)
	}
	if _, err := os.Stat(o.place("one").RunDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
	o.ok("rm", "one")
	if _, err := o.place("one").Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after rm: %v", err)
	}
}
