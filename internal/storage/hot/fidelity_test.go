package hot

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// A home of everything that is hard to keep goes up, and comes back in another sandbox as it was:
// by watching, by the flush's scan alone, and a third time after a journey through that.
func TestHostileTreeThereAndBack(t *testing.T) {
	for name, build := range map[string]func(s *sandbox) testbed.Tree{
		"moved in while it runs": func(s *sandbox) testbed.Tree {
			// Moved, not made: the embedded server cannot replace an object of a name as long as some are.
			src := t.TempDir()
			want := testbed.HostileTree(t, src, testbed.Hostile{NotKept: true})
			s.start()
			entries, err := os.ReadDir(src)
			check(t, err)
			for _, e := range entries {
				check(t, os.Rename(filepath.Join(src, e.Name()), s.path(e.Name())))
			}
			s.saved()
			return want
		},
		"there before it starts": func(s *sandbox) testbed.Tree {
			want := testbed.HostileTree(t, s.home, testbed.Hostile{NotKept: true})
			s.start()
			return want
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			want := build(s).Kept()
			s.flushed()
			for range 2 {
				s = sandboxAt(t, s.bucket, s.proxy)
				s.start()
				got := testbed.Scan(t, s.home)
				testbed.WantTree(t, want, got, testbed.Ignore{Owner: true, DirMtime: true})
				for _, dir := range []string{"empty/plain", "empty/private", "empty/sticky", "empty/in/in/in"} { // others have no object
					if got[dir].Mtime != want[dir].Mtime {
						t.Errorf("%s: mtime %v, want %v", dir, got[dir].Mtime, want[dir].Mtime)
					}
				}
				before := s.proxy.Count("PUT")
				s.saved()
				if n := s.proxy.Count("PUT") - before; n != 0 {
					t.Errorf("what came from S3 goes back: %d uploads", n)
				}
				s.flushed()
			}
		})
	}
}

// Git's empty directories and its objects: a packed repository is one in the next sandbox, too.
func TestPackedRepositoryThereAndBack(t *testing.T) {
	s := newSandbox(t).start()
	testbed.GitTree(t, s.home)
	log := testbed.Git(t, s.home, "log", "--all", "--format=%H")
	s.flushed()
	s = sandboxAt(t, s.bucket, s.proxy)
	s.start()
	testbed.Git(t, s.home, "fsck", "--full", "--strict")
	if got := testbed.Git(t, s.home, "log", "--all", "--format=%H"); got != log || log == "" {
		t.Errorf("commits\n%s\nwant\n%s", got, log)
	}
	if said := testbed.Git(t, s.home, "status", "--porcelain"); said != "" {
		t.Errorf("git status says %q", said)
	}
}
