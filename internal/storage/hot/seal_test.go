package hot

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
)

const manifestKey = "users/u/.sandbox/hot/manifest"

// leased is a sandbox of the user with the lease.
type leased struct {
	*sandbox
	*lease.Lease
}

// takes makes a sandbox, which takes the lease of one that may be dead, and starts it.
func takes(t *testing.T, b *testbed.Bucket, instance, dead string) *leased {
	t.Helper()
	s := &leased{sandbox: sandboxAt(t, b, testbed.Proxy(t, b.Server))}
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: b.Config(), Credentials: b.Credentials()})
	check(t, err)
	t.Cleanup(store.Close)
	s.Lease, err = lease.Acquire(s.ctx(), lease.Options{
		Store: lease.Objects{Store: store}, Key: "users/u/" + contract.LeaseName, SandboxID: instance, Instance: instance, Takeover: dead,
	})
	check(t, err)
	t.Cleanup(s.Lease.Close)
	s.fence, s.seal = s.Lease, s.Lease.Seal()
	s.start()
	return s
}

// ends is the end of a session whose flush is over.
func (s *leased) ends() {
	s.t.Helper()
	s.endRun()
	check(s.t, s.Release(s.ctx(), s.e.Seal()))
	s.kill()
}

// dies is a kill of sandbox and lease.
func (s *leased) dies() {
	s.kill()
	s.Lease.Close()
}

// burst stores files whose uploads are, by the server's clock, no earlier than the manifest that follows: its Date stands
// still. The manifest arrives in a later second.
func (s *leased) burst() {
	s.t.Helper()
	now := time.Now().UTC().Format(http.TimeFormat)
	s.proxy.Add(testbed.Fault{When: testbed.Match{Regexp: "^" + prefix}, Do: testbed.SetResponseHeader("Date", now)})
	for _, name := range burst {
		s.write(name, "") // an empty file is made of the manifest's entry alone
	}
	s.saved()
	s.nextSecond()
}

var burst = []string{"a", "b", "c"}

// fetches starts the next sandbox and says how many files it has fetched by themselves.
func (s *leased) fetches(dead string) (gets int) {
	s.t.Helper()
	want := testbed.Scan(s.t, s.home)
	next := takes(s.t, s.bucket, "next", dead)
	defer next.dies()
	testbed.WantTree(s.t, want, testbed.Scan(s.t, next.home), testbed.Ignore{DirMtime: true, Owner: true})
	for _, r := range next.proxy.Requests() {
		if r.Verb == "GET" && strings.HasPrefix(r.Key, prefix) {
			gets++
		}
	}
	return gets
}

// setModified sets the Last-Modified of an object: the embedded S3 keeps objects as files.
func (s *leased) setModified(key string, at time.Time) {
	s.t.Helper()
	check(s.t, os.Chtimes(filepath.Join(s.bucket.Server.Data, s.bucket.Name, key), at, at))
}

func (s *leased) modified(key string) time.Time {
	s.t.Helper()
	i, err := os.Stat(filepath.Join(s.bucket.Server.Data, s.bucket.Name, key))
	check(s.t, err)
	return i.ModTime()
}

// What the last sandbox has stored in the seconds before its end is taken from a manifest that is sealed, and
// asked from S3 in every other case.
func TestManifestIsTrustedToItsArrivalWhenSealed(t *testing.T) {
	refused := testbed.Refuse(403, "AccessDenied")
	for name, test := range map[string]struct {
		end   func(s *leased) (dead string) // of the first sandbox, and of others; the INSTANCE that the next one takes over
		fetch int
	}{
		"flushed and released": {func(s *leased) string {
			s.flush()
			if seal := s.e.Seal(); seal != (lease.Seal{}) {
				s.t.Errorf("the seal is %+v while uploads may be under way", seal)
			}
			s.ends()
			return ""
		}, 0},
		"nothing changed by another one, which is killed": {func(s *leased) string {
			s.flush()
			s.ends()
			takes(s.t, s.bucket, "other", "").dies()
			return "other"
		}, 0},
		"nothing changed by another one, which flushes": {func(s *leased) string {
			s.flush()
			s.ends()
			other := takes(s.t, s.bucket, "other", "")
			other.flush()
			other.ends()
			return ""
		}, 0},
		"a mode changed by another one, which is killed": {func(s *leased) string {
			s.flush()
			s.ends()
			other := takes(s.t, s.bucket, "other", "")
			check(s.t, os.Chmod(other.path("a"), 0o600))
			check(s.t, os.Chmod(s.path("a"), 0o600))
			other.saved()
			other.dies()
			return "other"
		}, 1},
		"killed before the manifest is stored": {func(s *leased) string {
			gate := testbed.Hold()
			s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Key: manifestKey}, Do: gate})
			flushed := make(chan struct{})
			go func() { defer close(flushed); s.e.publish(s.ctx()) }()
			if !gate.WaitArrived(s.ctx(), 1) {
				s.t.Error("no manifest is written")
			}
			s.proxy.Away() // as the connections of a process that is killed
			s.Lease.Close()
			<-flushed
			s.dies()
			return "first"
		}, 3},
		"killed before the lease is released": {func(s *leased) string {
			s.flush()
			s.dies()
			return "first"
		}, 3},
		"the manifest refused": {func(s *leased) string {
			s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Key: manifestKey}, Do: refused})
			s.flush()
			s.ends()
			return ""
		}, 3},
		"the answer of an upload lost": {func(s *leased) string {
			s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Key: prefix + "d"}, Times: 1, Do: testbed.LoseAnswer()})
			s.write("d", "")
			s.saved()
			s.nextSecond()
			s.flush()
			s.ends()
			return ""
		}, 1},
		"a file refused": {func(s *leased) string {
			s.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT", Key: prefix + "d"}, Do: refused})
			s.write("d", "")
			s.flush()
			s.ends()
			s.remove("d")
			return ""
		}, 3},
		"a file without a key, after the manifest": {func(s *leased) string {
			s.e.publish(s.ctx())
			long := strings.Repeat(strings.Repeat("x", 250)+"/", 4) + "too-long-for-a-key"
			s.write(long, "")
			if f := s.flush(); f.UnsavedCount != 1 {
				s.t.Errorf("not saved: %+v", f)
			}
			s.ends()
			s.remove(long[:250])
			return ""
		}, 3},
		"a file stored after the flush": {func(s *leased) string {
			s.flush()
			s.write("d", "")
			s.saved()
			s.ends()
			return ""
		}, 4},
		"taken by another one before the release": {func(s *leased) string {
			s.flush()
			other := takes(s.t, s.bucket, "other", "first")
			s.ends()
			other.dies()
			return "other"
		}, 3},
		"another manifest by another one, which is killed": {func(s *leased) string {
			s.flush()
			s.ends()
			other := takes(s.t, s.bucket, "other", "")
			check(s.t, os.Chmod(other.path("a"), 0o600))
			check(s.t, os.Chmod(s.path("a"), 0o600))
			other.saved()
			other.e.publish(other.ctx())
			later := time.Now().Add(time.Minute)
			for _, name := range burst {
				s.setModified(prefix+name, later)
			}
			s.setModified(manifestKey, later.Add(time.Second))
			other.dies()
			return "other"
		}, 3},
		"the manifest stored anew": {func(s *leased) string {
			s.flush()
			s.ends()
			s.setModified(manifestKey, time.Now().Add(time.Minute))
			return ""
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := takes(t, testbed.S3(t).Bucket(t), "first", "")
			s.burst()
			dead := test.end(s)
			if got := s.fetches(dead); got != test.fetch {
				t.Errorf("%d files were fetched by themselves, want %d", got, test.fetch)
			}
		})
	}
}

// A manifest that was on its way when its writer was killed arrives late: another holder has changed a mode since, which
// leaves the ETag as it is.
func TestManifestThatArrivesLateVouchesForNothing(t *testing.T) {
	s := takes(t, testbed.S3(t).Bucket(t), "first", "")
	s.burst()
	s.flush()
	late, _ := s.bucket.Get(manifestKey)
	s.bucket.Delete(manifestKey)
	s.dies()
	other := takes(t, s.bucket, "other", "first")
	check(t, os.Chmod(other.path("a"), 0o600))
	check(t, os.Chmod(s.path("a"), 0o600))
	other.saved()
	s.nextSecond()
	s.bucket.Put(manifestKey, string(late.Body), nil)
	other.dies()
	s.fetches("other")
}

// A holder that changes a mode in the very second in which the sealed manifest arrived is believed.
func TestModeOfTheManifestsSecondIsAskedFor(t *testing.T) {
	s := takes(t, testbed.S3(t).Bucket(t), "first", "")
	s.burst()
	s.flush()
	s.ends()
	other := takes(t, s.bucket, "other", "")
	check(t, os.Chmod(other.path("a"), 0o600))
	check(t, os.Chmod(s.path("a"), 0o600))
	other.saved()
	other.dies()
	s.setModified(prefix+"a", s.modified(manifestKey))
	if got := s.fetches("other"); got != 1 {
		t.Errorf("%d files were fetched by themselves, want 1", got)
	}
}
