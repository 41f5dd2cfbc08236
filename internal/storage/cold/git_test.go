package cold_test

import (
	"strings"
	"testing"
)

// TestGitKnowsFilesAgain: in a sandbox without memory of it, git compares a work tree by what stat(2) tells, and
// reads no file of which that is as it was.
func TestGitKnowsFilesAgain(t *testing.T) {
	t.Parallel()
	needs(t, "git")
	const git = `git -c user.name=a -c user.email=a@b `
	b := newBed(t, throughProxy)
	b.sh(`mkdir w; cd w; for i in $(seq 40); do seq $i 400 > f$i; done; mv f1 moved; chmod 755 f2; ln -s f3 link; touch -d '2001-02-03 04:05:06' *; git init -q .; ` + git + `add .; ` + git + `commit -qm first`)
	if left := b.flush(); len(left) > 0 {
		t.Fatalf("left: %+v", left)
	}
	b.stop()
	b.forget()
	b.start()
	b.proxy.Forget()
	if got := b.sh(`cd w; git status --porcelain`); got != "" {
		t.Errorf("git says %q", got)
	}
	for _, r := range b.proxy.Requests() {
		if r.Verb == "GET" && strings.Contains(r.Key, "/w/") && !strings.Contains(r.Key, "/.git/") {
			t.Errorf("%s is fetched", r.Key)
		}
	}
	if got := b.sh(`cd w; echo changed > f5; rm f6; git status --porcelain; ls -i f7 | cut -d' ' -f1; stat -c %i f7`); !strings.HasPrefix(got, " M f5\n D f6\n") {
		t.Errorf("git says %q", got)
	} else if ino := strings.Fields(got)[4:]; ino[0] != ino[1] {
		t.Errorf("ls and stat give the inodes %q", ino)
	}
}
