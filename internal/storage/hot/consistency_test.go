package hot

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// model is the history of a home, operation by operation, and what S3 was seen to hold.
type model struct {
	t    *testing.T
	root string
	rng  *rand.Rand

	mu      sync.Mutex
	op      int
	history map[string][]operation
	sums    map[string]int // content's hash -> the operation that wrote it
	exists  map[string]bool
	seen    map[string]int // path -> newest version that was seen in S3
}

type operation struct {
	op      int
	written bool
	size    int
}

func newModel(t *testing.T, root string, seed uint64) *model {
	return &model{t: t, root: root, rng: rand.New(rand.NewPCG(seed, 1)), history: map[string][]operation{},
		sums: map[string]int{}, exists: map[string]bool{}, seen: map[string]int{}}
}

func (m *model) some() string {
	return fmt.Sprintf("work/d%d/f%d", m.rng.IntN(4), m.rng.IntN(12))
}

// record says that an operation is about to be made.
func (m *model) record(path string, written bool, content []byte) {
	m.history[path] = append(m.history[path], operation{m.op, written, len(content)})
	m.exists[path] = written
	if written {
		m.sums[path+"\x00"+hash(content)] = m.op
	}
}

func hash(b []byte) string { s := sha256.Sum256(b); return string(s[:]) }

// content has the operation's number at its beginning, in the middle and at its end.
func (m *model) content() []byte {
	n := m.rng.IntN(3000)
	if m.rng.IntN(20) == 0 {
		n = 200_000
	}
	pad := strings.Repeat("x", n)
	return []byte(fmt.Sprintf("%d %s %d %s %d", m.op, pad, m.op, pad, m.op))
}

// step makes one operation.
func (m *model) step() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.op++
	path := m.some()
	full := filepath.Join(m.root, path)
	check(m.t, os.MkdirAll(filepath.Dir(full), 0o755))
	switch r := m.rng.IntN(20); {
	case r < 11: // as editors do
		b := m.content()
		tmp := full + ".tmp"
		check(m.t, os.WriteFile(tmp, b, 0o644))
		m.record(path, true, b)
		check(m.t, os.Rename(tmp, full))
	case r < 13: // in place
		b := m.content()
		m.record(path, true, nil) // truncated for an instant
		m.op++
		m.record(path, true, b)
		check(m.t, os.WriteFile(full, b, 0o644))
	case r < 14 && m.exists[path]: // an append
		old, err := os.ReadFile(full)
		check(m.t, err)
		more := []byte(fmt.Sprintf("+%d", m.op))
		m.record(path, true, append(old, more...))
		f, err := os.OpenFile(full, os.O_WRONLY|os.O_APPEND, 0)
		check(m.t, err)
		_, err = f.Write(more)
		check(m.t, err)
		check(m.t, f.Close())
	case r < 17 && m.exists[path]: // a rename
		to := m.some()
		if to == path {
			return
		}
		b, err := os.ReadFile(full)
		check(m.t, err)
		check(m.t, os.MkdirAll(filepath.Dir(filepath.Join(m.root, to)), 0o755))
		m.record(to, true, b)
		m.record(path, false, nil)
		check(m.t, os.Rename(full, filepath.Join(m.root, to)))
	case m.exists[path]:
		m.record(path, false, nil)
		check(m.t, os.Remove(full))
	}
}

// check compares what S3 holds with the history: every object is one version, whole; and if
// a deletion arrived, so did all that was written before it, unless it was deleted in
// its turn. s3 has the bodies below work/.
func (m *model) check(s3 map[string][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	version := map[string]int{}
	for path, body := range s3 {
		if !strings.HasPrefix(path, "work/") || strings.HasSuffix(path, "/") || strings.HasSuffix(path, ".tmp") {
			continue
		}
		op, ok := m.sums[path+"\x00"+hash(body)]
		if !ok {
			m.t.Fatalf("%s in S3 has a content that it never had on the disk: %.60q, %d bytes; its history: %v", path, body, len(body), m.history[path])
		}
		version[path] = op
		m.seen[path] = max(m.seen[path], op)
	}
	arrived, by := 0, ""
	for path, last := range m.seen {
		if _, ok := version[path]; ok || last == 0 {
			continue
		}
		for _, h := range m.history[path] {
			if !h.written && h.op > last {
				if h.op > arrived {
					arrived, by = h.op, path
				}
				break
			}
		}
	}
	for again := true; again; {
		again = false
		for path, history := range m.history {
			written, deleted := 0, 0
			for _, h := range history {
				if h.written && h.op <= arrived {
					written, deleted = h.op, 0
				}
				if !h.written && deleted == 0 && h.op >= written {
					deleted = h.op
				}
			}
			if written == 0 || version[path] >= written {
				continue
			}
			if deleted == 0 {
				m.t.Fatalf("the deletion %d (of %s) is in S3, and the write %d of %s is not (S3 has %d): %v",
					arrived, by, written, path, version[path], history)
			}
			if deleted > arrived {
				arrived, by, again = deleted, path, true
			}
		}
	}
}

// repository is a git repository in the home, on which git works as people let it.
type repository struct {
	t   *testing.T
	dir string
	n   int
	rng *rand.Rand
}

func (r *repository) git(args ...string) { testbed.Git(r.t, r.dir, args...) }

func (r *repository) init() {
	check(r.t, os.MkdirAll(r.dir, 0o755))
	r.git("init", "-q", "-b", "main")
	r.commit()
}

func (r *repository) commit() {
	r.n++
	for range 3 {
		check(r.t, os.WriteFile(filepath.Join(r.dir, "file"+strconv.Itoa(r.rng.IntN(8))), []byte(strings.Repeat(fmt.Sprint(r.rng.Uint64(), "\n"), 50)), 0o644))
	}
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "commit "+strconv.Itoa(r.n))
}

func (r *repository) step() {
	switch k := r.rng.IntN(12); {
	case k < 7:
		r.commit()
	case k < 8:
		r.git("checkout", "-q", "-b", "branch"+strconv.Itoa(r.n))
		r.commit()
	case k < 9:
		r.git("gc", "-q", "--prune=now")
	case k < 10:
		r.git("repack", "-q", "-a", "-d")
	default:
		r.git("tag", "tag"+strconv.Itoa(r.n)+"-"+strconv.Itoa(r.rng.IntN(1e6)))
	}
}

// checkRepository wants every commit that a name leads to whole.
func checkRepository(t *testing.T, dir string) {
	for _, args := range [][]string{{"rev-list", "--objects", "--all"}, {"archive", "HEAD"}} {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "core.commitGraph=false"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir, "GIT_DIR="+filepath.Join(dir, ".git"))
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Run(); err != nil {
			t.Fatalf("the repository in S3 is broken: git %v: %v\n%.2000s\n%s", args, err, said.String(), listing(dir))
		}
	}
}

func listing(dir string) string {
	out, _ := exec.Command("sh", "-c", "cd "+dir+"/.git && cat HEAD packed-refs; grep -r . refs; find objects | head -100").CombinedOutput()
	return string(out)
}

// snapshot is what S3 holds, read anew where ETags have changed, and laid out as files.
type snapshot struct {
	bucket *testbed.Bucket
	dir    string
	etags  map[string]string
	bodies map[string][]byte // by path
}

// take reads until two listings are the same: what had reached the server when it was cut off
// may take it a moment.
func (s *snapshot) take(t *testing.T) {
	for last := map[string]string(nil); ; {
		etags := s.bucket.ETags(prefix)
		// The embedded server replaces an object by rename, and lists the name that it has until then.
		maps.DeleteFunc(etags, func(key, _ string) bool { return strings.Contains(key, ".sgwtmp.") })
		if last != nil && maps.Equal(last, etags) {
			s.etags = etags
			return
		}
		s.update(t, etags)
		last = etags
	}
}

func (s *snapshot) update(t *testing.T, etags map[string]string) {
	for key := range s.etags {
		if path := strings.TrimPrefix(key, prefix); etags[key] == "" {
			delete(s.bodies, path)
			check(t, os.RemoveAll(filepath.Join(s.dir, path)))
		}
	}
	for key, etag := range etags {
		if s.etags[key] == etag {
			continue
		}
		o, ok := s.bucket.Get(key)
		if !ok {
			delete(etags, key)
			continue
		}
		etags[key] = o.ETag
		path := strings.TrimPrefix(key, prefix)
		s.bodies[path] = o.Body
		full := filepath.Join(s.dir, path)
		if strings.HasSuffix(path, "/") {
			check(t, os.MkdirAll(full, 0o755))
			continue
		}
		check(t, os.MkdirAll(filepath.Dir(full), 0o755))
		check(t, os.WriteFile(full, o.Body, 0o644))
	}
	s.etags = etags
}

// The container is killed, with its disk lost, at a random instant, again and again: S3 is cut
// off, which is what a kill is to it, and has to be whole.
func TestKilledAtAnyInstant(t *testing.T) {
	s := newSandbox(t)
	s.probe = true // the embedded server ignores a copy's conditions: what is late would overwrite what is newer
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := newModel(t, s.home, seed)
	r := &repository{t: t, dir: s.path("repo"), rng: rand.New(rand.NewPCG(seed, 2))}
	r.init()
	s.start()
	s.saved()
	stop := make(chan struct{})
	var work sync.WaitGroup
	var pause sync.RWMutex
	load := func(step func(), most time.Duration) {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(rand.N(most)):
				}
				func() {
					pause.RLock()
					defer pause.RUnlock() // a step that fails ends its goroutine
					step()
				}()
			}
		})
	}
	load(m.step, 10*time.Millisecond)
	load(r.step, 300*time.Millisecond)
	defer func() {
		close(stop)
		work.Wait()
	}()
	snap := &snapshot{bucket: s.bucket, dir: t.TempDir(), bodies: map[string][]byte{}}
	for i := range kills {
		<-time.After(rand.N(250 * time.Millisecond))
		s.proxy.Away()
		snap.take(t)
		m.check(snap.bodies)
		checkRepository(t, filepath.Join(snap.dir, "repo"))
		if i%20 == 19 {
			// This time its disk stays: the same home, a new process. (A deletion that was not
			// observed comes back then; that is for another test.)
			pause.Lock()
			check(t, s.e.obs.catchUp(s.ctx(), false))
			s.kill()
			s.proxy.Back()
			s.start()
			pause.Unlock()
			continue
		}
		s.proxy.Back()
	}
	pause.Lock()
	defer pause.Unlock()
	s.flushed()
	want, got := testbed.Scan(t, s.home), restored(t, s)
	testbed.WantTree(t, want, got, testbed.Ignore{DirMtime: true, Owner: true})
}

// restored is the home of a new sandbox of the same user.
func restored(t *testing.T, s *sandbox) testbed.Tree {
	t.Helper()
	other := sandboxAt(t, s.bucket, s.proxy)
	other.hydrate()
	defer other.kill()
	return testbed.Scan(t, other.home)
}
