package hot

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/sqlitefile"
	"github.com/matrx/sandbox/internal/testbed/ledger"
)

// ledgers are databases of a home, with three writers each.
type ledgers struct {
	t       *testing.T
	s       *sandbox
	modes   []ledger.Mode
	writers map[ledger.Mode][]*ledger.Writer
	stored  map[ledger.Mode]ledger.State // what S3 was last seen to hold
}

func newLedgers(t *testing.T, s *sandbox, modes ...ledger.Mode) *ledgers {
	l := &ledgers{t: t, s: s, modes: modes, writers: map[ledger.Mode][]*ledger.Writer{}, stored: map[ledger.Mode]ledger.State{}}
	check(t, os.MkdirAll(s.path("data"), 0o755))
	for _, mode := range modes {
		ledger.Create(t, s.path(l.name(mode)), mode)
	}
	return l
}

func (l *ledgers) name(mode ledger.Mode) string { return "data/" + string(mode) + ".db" }

// start starts all writers.
func (l *ledgers) start() {
	for _, mode := range l.modes {
		l.writers[mode] = nil
		for i := range 3 {
			l.writers[mode] = append(l.writers[mode], ledger.Start(l.t, i, mode, l.s.path(l.name(mode))))
		}
	}
}

// kill kills all writers, at any point of their work.
func (l *ledgers) kill() {
	for _, mode := range l.modes {
		for _, w := range l.writers[mode] {
			w.Kill()
		}
	}
}

// check wants S3 to hold each ledger in a state that adds up and is not older than the last one.
func (l *ledgers) check(dir string) {
	l.t.Helper()
	for _, mode := range l.modes {
		state, err := ledger.Check(filepath.Join(dir, l.name(mode)))
		if err != nil {
			l.t.Fatalf("the %s ledger in S3: %v", mode, err)
		}
		for i, last := range l.stored[mode] {
			if state[i] < last {
				l.t.Fatalf("the %s ledger in S3 went back from %v to %v", mode, l.stored[mode], state)
			}
		}
		l.stored[mode] = state
	}
}

// isStored tells whether S3 has anything that a writer has written.
func (l *ledgers) isStored(mode ledger.Mode) bool {
	l.t.Helper()
	o, _ := l.s.bucket.Get(prefix + l.name(mode))
	path := filepath.Join(l.t.TempDir(), "object.db")
	check(l.t, os.WriteFile(path, o.Body, 0o600))
	state, err := ledger.Check(path)
	check(l.t, err)
	return len(state) > 0
}

// copyOf copies the databases that S3 holds, so that SQLite may recover them.
func copyOf(t *testing.T, bodies map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for path, body := range bodies {
		if !strings.HasPrefix(path, "data/") {
			continue
		}
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, path), body, 0o644))
	}
	return dir
}

// load works on a home until it is stopped: plain files, whose history the model knows, and git.
type load struct {
	m    *model
	r    *repository
	stop func()

	pause sync.RWMutex
}

func newLoad(t *testing.T, s *sandbox, seed uint64) *load {
	l := &load{m: newModel(t, s.home, seed), r: &repository{t: t, dir: s.path("repo"), rng: rand.New(rand.NewPCG(seed, 2))}}
	l.r.init()
	return l
}

func (l *load) start() {
	stop := make(chan struct{})
	var work sync.WaitGroup
	l.stop = func() { close(stop); work.Wait() }
	for _, job := range []struct {
		step func()
		most time.Duration
	}{{l.m.step, 20 * time.Millisecond}, {l.r.step, 500 * time.Millisecond}} {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(rand.N(job.most)):
				}
				func() {
					l.pause.RLock()
					defer l.pause.RUnlock() // a step that fails ends its goroutine
					job.step()
				}()
			}
		})
	}
}

// The container is killed, with its disk lost, at a random instant, while three processes write to each
// database, beside git and plain files: what S3 holds is a state of each database that was once true, and never
// an older one than before. (The disk stays now and then, and so do databases in the middle of a transaction.)
func TestDatabasesOutliveKills(t *testing.T) {
	s := newSandbox(t)
	s.probe = true
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	l := newLedgers(t, s, databaseModes...)
	files := newLoad(t, s, seed)
	s.start()
	s.saved()
	l.start()
	defer func() { l.kill() }()
	files.start()
	defer func() { files.stop() }()
	snap := &snapshot{bucket: s.bucket, dir: t.TempDir(), bodies: map[string][]byte{}}
	for i := range databaseKills {
		<-time.After(rand.N(400 * time.Millisecond))
		s.proxy.Away()
		snap.take(t)
		for path := range snap.bodies {
			if base, ok := sqlitefile.Base(path); ok {
				t.Fatalf("S3 holds %s beside %s", path, base)
			}
		}
		files.m.check(snap.bodies)
		checkRepository(t, filepath.Join(snap.dir, "repo"))
		l.check(copyOf(t, snap.bodies))
		if i%8 == 7 {
			files.pause.Lock()
			l.kill()
			// A deletion that was not observed comes back: that is for another test.
			check(t, s.e.obs.catchUp(s.ctx(), false))
			s.kill()
			s.proxy.Back()
			s.start()
			l.start()
			files.pause.Unlock()
			continue
		}
		s.proxy.Back()
	}
	for _, mode := range l.modes {
		s.eventually("the ledger reaches S3 while it is written to", func() bool { return l.isStored(mode) })
	}
	l.kill()
	files.stop()
	files.stop = func() {}
	s.flushed()
	other := sandboxAt(t, s.bucket, s.proxy)
	other.hydrate()
	defer other.kill()
	for _, mode := range l.modes {
		want, err := ledger.Check(s.path(l.name(mode)))
		check(t, err)
		if got, err := ledger.Check(other.path(l.name(mode))); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the next sandbox has %v, %v; this one had %v", got, err, want)
		}
	}
}
