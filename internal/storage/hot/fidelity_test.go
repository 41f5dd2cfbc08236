package hot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// Attributes that are replaced while the manifest is written are not those that it vouches for.
func TestManifestVouchesForNothingReplacedMeanwhile(t *testing.T) {
	s := newSandbox(t).start()
	s.write("a", "") // an empty file is made of the manifest's entry alone
	s.saved()
	s.nextSecond()
	s.nextSecond()
	s.write("b", "x") // an answer of a later second, so that a is old enough to be vouched for
	s.saved()
	gate := testbed.Hold()
	s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Suffix: "/hot/manifest"}, Do: gate, Times: 1})
	published := make(chan struct{})
	go func() {
		defer close(published)
		s.e.publish(s.ctx())
	}()
	if !gate.WaitArrived(s.ctx(), 1) {
		t.Fatal("no manifest is written")
	}
	check(t, os.Chmod(s.path("a"), 0o600))
	old := time.Unix(1_000_000_000, 5)
	check(t, os.Chtimes(s.path("a"), old, old))
	s.saved()
	s.nextSecond()
	gate.Open()
	<-published
	want := testbed.Scan(t, s.home)
	s.kill()
	testbed.WantTree(t, want, restored(t, s), testbed.Ignore{DirMtime: true, Owner: true})
}

// nextSecond waits for another second of the clock, in which S3 counts.
func (s *sandbox) nextSecond() {
	<-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second + 10*time.Millisecond)))
}

// A time that 64 bits of nanoseconds do not hold does not come round to another century.
func TestTimesAfter2262(t *testing.T) {
	s := newSandbox(t).start()
	s.write("late", "x")
	at := []unix.Timespec{{Sec: 10_413_792_000}, {Sec: 10_413_792_000}} // 2300-01-01
	check(t, unix.UtimesNanoAt(unix.AT_FDCWD, s.path("late"), at, 0))
	s.flushed()
	other := sandboxAt(t, s.bucket, s.proxy)
	other.hydrate()
	defer other.kill()
	var st unix.Stat_t
	check(t, unix.Stat(other.path("late"), &st))
	if y := time.Unix(st.Mtim.Sec, 0).UTC().Year(); y != 2262 {
		t.Errorf("the year is %d", y)
	}
}

// A sparse file fits where its size does not, on the disk that it came from and on the next.
func TestSparseFileOnASmallDisk(t *testing.T) {
	s := newSandbox(t).start()
	f, err := os.Create(s.path("image"))
	check(t, err)
	_, err = f.WriteAt([]byte("content"), 40<<20)
	check(t, errors.Join(err, f.Truncate(80<<20), f.Close()))
	s.flushed()
	other := sandboxAt(t, s.bucket, s.proxy)
	check(t, unix.Mount("tmpfs", other.home, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() { unix.Unmount(other.home, unix.MNT_DETACH) })
	other.hydrate()
	defer other.kill()
	var st unix.Stat_t
	check(t, unix.Stat(other.path("image"), &st))
	if st.Size != 80<<20 || st.Blocks*512 > 1<<20 {
		t.Errorf("%d bytes in %d blocks", st.Size, st.Blocks)
	}
}
