package hot

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
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

// kill kills all writers, whatever they are doing.
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

// copyOf copies what S3 holds, so that SQLite may recover it.
func copyOf(t *testing.T, bodies map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for path, body := range bodies {
		if strings.HasSuffix(path, "/") {
			continue
		}
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, path), body, 0o644))
	}
	return dir
}

// The container is killed, with its disk lost, at a random instant, while three processes write to each
// database: what S3 holds is a state of the database that was once true, and never an older one than
// before. (The disk stays now and then, and so do databases in the middle of a transaction.)
func TestDatabasesOutliveKills(t *testing.T) {
	s := newSandbox(t)
	s.probe = true
	l := newLedgers(t, s, ledger.WAL, ledger.Delete)
	s.start()
	s.saved()
	l.start()
	defer func() { l.kill() }()
	snap := &snapshot{bucket: s.bucket, dir: t.TempDir(), bodies: map[string][]byte{}}
	for i := range databaseKills {
		<-time.After(rand.N(400 * time.Millisecond))
		s.proxy.Away()
		snap.take(t)
		for path := range snap.bodies {
			if base, ok := sqlite.Base(path); ok {
				t.Fatalf("S3 holds %s beside %s", path, base)
			}
		}
		l.check(copyOf(t, snap.bodies))
		if i%8 == 7 {
			l.kill()
			s.kill()
			s.proxy.Back()
			s.start()
			l.start()
			continue
		}
		s.proxy.Back()
	}
	l.kill()
	for _, mode := range l.modes {
		if len(l.stored[mode]) == 0 {
			t.Errorf("nothing of the %s ledger has ever reached S3 while it was written to", mode)
		}
	}
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
