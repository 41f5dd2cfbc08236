//go:build stores

package stores

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/matrx/sandbox/internal/testbed"
)

// cases are the suite, in the order of the document. Each says how it ended; what must not happen on any
// server ends the test.
var cases = []struct {
	name string
	run  func(w *world, t *testing.T) Result
}{
	{"an empty bucket", emptyBucket},
	{"a hostile tree", hostileTree},
	{"17 MiB and 200 MiB", largeFiles},
	{"renames, modes, deletions", changes},
	{"two sandboxes", twoSandboxes},
	{"a killed sandbox is followed", killAndTakeover},
	{"a foreign writer", foreignWriter},
	{"cold put, ls and get of 1,000", coldThousand},
	{"wrong credentials", wrongCredentials},
	{"a mistyped bucket", mistypedBucket},
}

func emptyBucket(w *world, t *testing.T) Result {
	for range 2 {
		s := w.sandbox(t, "empty", "one")
		s.mustStart(w.init)
		s.stop()
	}
	return works
}

// again starts another sandbox of the same user and gives what it finds.
func (w *world) again(t *testing.T, user string) testbed.Tree {
	t.Helper()
	s := w.sandbox(t, user, "again")
	s.mustStart(w.init)
	if st := s.status(); len(st.Hot.Kept) > 0 || st.Hot.Conflicts > 0 {
		t.Errorf("kept in S3: %v; %d conflicts", st.Hot.Kept, st.Hot.Conflicts)
	}
	got := testbed.Scan(t, s.home)
	s.stop()
	return got
}

func hostileTree(w *world, t *testing.T) Result {
	s := w.sandbox(t, "hostile", "one")
	made := filepath.Join(filepath.Dir(s.home), "made")
	must(t, os.Mkdir(made, 0o755))
	testbed.HostileTree(t, made, testbed.Hostile{})
	own(t, made)
	readable(t, made)
	s.mustStart(w.init)
	// Moved in: what is made slowly in the home goes up more than once, and the cost is not the same each time.
	entries, err := os.ReadDir(made)
	must(t, err)
	for _, e := range entries {
		must(t, os.Rename(filepath.Join(made, e.Name()), filepath.Join(s.home, e.Name())))
	}
	want := testbed.Scan(t, s.home).Kept()
	s.checkpoint()
	st := s.status()
	cost := Cost{Bytes: st.Hot.UploadBytes}
	for _, n := range st.Requests {
		cost.Requests += n
	}
	t.Logf("conditions are honoured for %v; %d files take %+v: %v", st.Store.Conditional, st.Hot.Uploaded, cost, st.Requests)
	if want := w.store.Tree; w.store.Name != "other" && !want.resembles(cost) {
		t.Errorf("it takes %+v, and expect.go says %+v", cost, want)
	}
	s.stop()
	testbed.WantTree(t, want, w.again(t, "hostile"), testbed.Ignore{DirMtime: true, DirMode: true})
	return works
}

// readable gives the agent the right to read all that it owns: without root there is no other way to save it.
func readable(t *testing.T, root string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		least := os.FileMode(0o400)
		if d.IsDir() {
			least = 0o700
		}
		if info.Mode()&least == least {
			return nil
		}
		return os.Chmod(path, info.Mode()|least)
	}))
}

func fill(t *testing.T, path string, size int) {
	t.Helper()
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(path))).Read(b)
	must(t, os.WriteFile(path, b, 0o644))
}

func largeFiles(w *world, t *testing.T) Result {
	s := w.sandbox(t, "large", "one")
	s.mustStart(w.init)
	fill(t, filepath.Join(s.home, "17"), 17<<20)
	fill(t, filepath.Join(s.home, "200"), 200<<20)
	own(t, s.home)
	want := testbed.Scan(t, s.home)
	s.checkpoint()
	s.stop()
	testbed.WantTree(t, want, w.again(t, "large"), testbed.Ignore{})
	return works
}

func changes(w *world, t *testing.T) Result {
	s := w.sandbox(t, "changes", "one")
	s.mustStart(w.init)
	at := func(name string) string { return filepath.Join(s.home, name) }
	for _, name := range []string{"keep", "gone", "old"} {
		fill(t, at("small-"+name), 1000)
		fill(t, at("large-"+name), 17<<20)
	}
	own(t, s.home)
	s.checkpoint()
	for _, size := range []string{"small", "large"} {
		must(t, os.Remove(at(size+"-gone")))
		must(t, os.Rename(at(size+"-old"), at(size+"-new")))
		must(t, os.Chmod(at(size+"-keep"), 0o600))
	}
	want := testbed.Scan(t, s.home)
	s.checkpoint()
	s.stop()
	testbed.WantTree(t, want, w.again(t, "changes"), testbed.Ignore{DirMtime: true})
	return works
}

func twoSandboxes(w *world, t *testing.T) Result {
	one, two := w.sandbox(t, "two", "one"), w.sandbox(t, "two", "two")
	one.mustStart(w.init)
	defer one.stop()
	if st := one.status().Lease; st.State == "none" {
		return noLease
	}
	if two.start(w.init) {
		t.Fatal("a second sandbox starts beside the first")
	}
	if code := two.code(); code != 75 || !strings.Contains(two.log.String(), "holds it") {
		t.Fatalf("the second ended with %d:\n%s", code, two.log)
	}
	return works
}

func killAndTakeover(w *world, t *testing.T) Result {
	one := w.sandbox(t, "killed", "one")
	one.mustStart(w.init)
	fill(t, filepath.Join(one.home, "f"), 1000)
	own(t, one.home)
	one.checkpoint()
	holder := one.status().Lease
	want := testbed.Scan(t, one.home)
	one.kill()
	env := "LEASE_TAKEOVER=" + holder.Instance
	result := works
	if holder.State == "none" {
		env, result = "LEASE_TAKEOVER=", noLease
	}
	two := w.sandbox(t, "killed", "two", env)
	two.mustStart(w.init)
	testbed.WantTree(t, want, testbed.Scan(t, two.home), testbed.Ignore{DirMtime: true})
	two.stop()
	return result
}

// foreignWriter writes an object that the sandbox has and changes too: theirs keeps the name, ours is a conflict copy.
func foreignWriter(w *world, t *testing.T) Result {
	s := w.sandbox(t, "foreign", "one")
	s.mustStart(w.init)
	path := filepath.Join(s.home, "f")
	must(t, os.WriteFile(path, []byte("first"), 0o644))
	own(t, s.home)
	s.checkpoint()
	key := "users/foreign/hot/f"
	_, err := w.store.sdk().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &w.bucket, Key: &key, Body: bytes.NewReader([]byte("theirs"))})
	must(t, err)
	must(t, os.WriteFile(path, []byte("ours"), 0o644))
	s.checkpoint()
	copies, _ := filepath.Glob(path + ".conflict-*")
	conditional := strings.Join(s.status().Store.Conditional, " ")
	s.stop()
	got := w.again(t, "foreign")
	if string(got["f"].Content) != "theirs" && len(copies) != 1 {
		t.Fatalf("f is %q, and there are the copies %q", got["f"].Content, copies)
	}
	if !strings.Contains(conditional, "PUT") {
		return headFirst
	}
	return works
}

func coldThousand(w *world, t *testing.T) Result {
	s := w.sandbox(t, "cold", "one")
	s.mustStart(w.init)
	from := filepath.Join(s.home, "from")
	must(t, os.Mkdir(from, 0o755))
	for i := range 1000 {
		must(t, os.WriteFile(filepath.Join(from, fmt.Sprintf("f%04d", i)), fmt.Appendf(nil, "content of %d", i), 0o644))
	}
	own(t, s.home)
	_, err := s.ctl("cold", "put", from, "there")
	must(t, err)
	names, err := s.ctl("cold", "ls", "there")
	must(t, err)
	if n := strings.Count(names, "\n"); n != 1000 {
		t.Errorf("%d names are listed", n)
	}
	_, err = s.ctl("cold", "get", "there", filepath.Join(s.home, "back"))
	must(t, err)
	testbed.WantTree(t, testbed.Scan(t, from), testbed.Scan(t, filepath.Join(s.home, "back")), testbed.Ignore{DirMtime: true})
	s.stop()
	return works
}

func wrongCredentials(w *world, t *testing.T) Result {
	if w.store.Name == "gofakes3" {
		return unchecked
	}
	s := w.sandbox(t, "wrong", "one")
	for i, kv := range s.env {
		if file, ok := strings.CutPrefix(kv, "S3_CREDENTIALS_FILE="); ok {
			wrong := filepath.Join(filepath.Dir(file), "wrong")
			testbed.WriteCredentials(t, wrong, w.store.access, "wrong", "")
			must(t, os.Chown(wrong, agent, agent))
			s.env[i] = "S3_CREDENTIALS_FILE=" + wrong
		}
	}
	began := time.Now()
	refused(t, s, w.init, "credentials", "S3_CREDENTIALS_FILE")
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s to say so", took)
	}
	return works
}

func mistypedBucket(w *world, t *testing.T) Result {
	for range 2 {
		s := w.sandbox(t, "mistyped", "one")
		for i, kv := range s.env {
			if strings.HasPrefix(kv, "S3_BUCKET=") {
				s.env[i] = "S3_BUCKET=" + w.bucket + "x"
			}
		}
		refused(t, s, w.init, "bucket", "S3_BUCKET")
	}
	return works
}

// refused starts a sandbox that must end with 75 and say why.
func refused(t *testing.T, s *sandbox, init string, words ...string) {
	t.Helper()
	if s.start(init) {
		t.Fatal("it starts")
	}
	code, log := s.code(), s.log.String()
	for _, word := range words {
		if code != 75 || !strings.Contains(log, word) {
			t.Errorf("it ended with %d, and %q is not in:\n%s", code, word, log)
		}
	}
}
