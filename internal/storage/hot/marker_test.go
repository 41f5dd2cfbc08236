package hot

import (
	"os"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// A store that keeps no metadata of keys that end in "/": a marker of ours whose answer was lost is not taken for another
// client's, whose attributes the directory would get.
func TestMarkerWithoutMetadataChangesNoDirectory(t *testing.T) {
	s := newSandbox(t)
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/private/"}, Do: testbed.StripHeaders(
		"X-Amz-Meta-File-Permissions", "X-Amz-Meta-File-Owner", "X-Amz-Meta-File-Group", "X-Amz-Meta-File-Mtime", "X-Amz-Meta-Sandbox-Write")})
	lost := s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/private/"}, Times: 1, Do: testbed.LoseAnswer()})
	s.start()
	check(t, os.Mkdir(s.path("private"), 0o700))
	s.saved()
	info, err := os.Stat(s.path("private"))
	check(t, err)
	if lost.Hits() != 1 || info.Mode().Perm() != 0o700 {
		t.Errorf("%v after %d lost answers", info.Mode(), lost.Hits())
	}
	wantKeys(t, s.keys(), "private/")
}
