package sqlite

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed/ledger"
)

// sqlite3 runs the real program.
func sqlite3(t testing.TB, db string, commands ...string) string {
	t.Helper()
	said, err := ledger.Run(db, commands...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// What was killed is recovered to the very bytes to which SQLite recovers it.
func TestRecoveryIsSQLites(t *testing.T) {
	for _, mode := range ledger.Modes {
		t.Run(string(mode), func(t *testing.T) {
			recovered := 0
			for range 6 {
				h := newHome(t)
				ledger.Create(t, h.path("x.db"), mode)
				w := ledger.Start(t, 0, mode, h.path("x.db"))
				for w.Last() == 0 {
					<-time.After(time.Millisecond)
				}
				<-time.After(rand.N(30 * time.Millisecond))
				w.Kill()
				raw := read(t, h.path("x.db"))
				snapshot, err := h.take()
				if err != nil {
					t.Fatal(err)
				}
				got := read(t, snapshot)
				sqlite3(t, h.path("x.db"), "PRAGMA wal_checkpoint(TRUNCATE)", "SELECT count(*) FROM entry")
				want := read(t, h.path("x.db"))
				if !bytes.Equal(got, want) {
					t.Fatalf("the snapshot has %d bytes, SQLite recovers %d, and they differ at %d", len(got), len(want), differ(got, want))
				}
				if !bytes.Equal(raw, want) {
					recovered++
				}
			}
			t.Logf("%d of 6 had something to recover", recovered)
		})
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func differ(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// A process is killed inside a transaction that is larger than its cache, so that the database has
// pages of it already.
func TestKilledInsideATransaction(t *testing.T) {
	for _, c := range []struct{ name, before, inside string }{
		{"delete", "PRAGMA journal_mode=DELETE", ""},
		{"truncate", "PRAGMA journal_mode=TRUNCATE", ""},
		{"persist", "PRAGMA journal_mode=PERSIST", ""},
		{"synced", "PRAGMA journal_mode=DELETE", "PRAGMA synchronous=FULL"},
		{"not synced", "PRAGMA journal_mode=DELETE", "PRAGMA synchronous=OFF"},
		{"pages of 512", "PRAGMA page_size=512; PRAGMA journal_mode=DELETE", ""},
		{"pages of 65536", "PRAGMA page_size=65536; PRAGMA journal_mode=DELETE", ""},
		{"vacuum", "PRAGMA auto_vacuum=FULL; PRAGMA journal_mode=DELETE", ""},
		{"log", "PRAGMA journal_mode=WAL", ""},
		{"log, pages of 512", "PRAGMA page_size=512; PRAGMA journal_mode=WAL", ""},
		{"log, pages of 65536", "PRAGMA page_size=65536; PRAGMA journal_mode=WAL", ""},
		{"log begun anew", "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS u(x); PRAGMA wal_checkpoint(RESTART); INSERT INTO u VALUES(1)", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			db := h.path("x.db")
			fill := "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x < 600) INSERT INTO t SELECT x, hex(randomblob(200)) FROM c"
			sqlite3(t, db, c.before, "CREATE TABLE t(x INTEGER PRIMARY KEY, y); CREATE INDEX i ON t(y);", fill)
			cmd := killedProgram(t, db, c.before, "PRAGMA cache_size=5;"+c.inside,
				"INSERT INTO t VALUES(100000, 'committed')",
				"BEGIN", "UPDATE t SET y = hex(randomblob(150))", "DELETE FROM t WHERE x % 3 = 0", strings.Replace(fill, "SELECT x,", "SELECT x+5000,", 1),
				".shell kill -9 $PPID")
			if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != -1 {
				t.Fatalf("it was not killed: %v %s", err, out)
			}
			snapshot, err := h.take()
			if err != nil {
				t.Fatal(err)
			}
			raw, got := read(t, db), read(t, snapshot)
			if said := sqlite3(t, snapshot, "PRAGMA integrity_check; SELECT count(*), sum(y = 'committed') FROM t"); said != "ok\n601|1" {
				t.Errorf("the snapshot: %s", said)
			}
			sqlite3(t, db, "SELECT count(*) FROM t", "PRAGMA wal_checkpoint(TRUNCATE)")
			if want := read(t, db); !bytes.Equal(got, want) {
				t.Fatalf("the snapshot has %d bytes, SQLite recovers %d, and they differ at %d", len(got), len(want), differ(got, want))
			} else if bytes.Equal(raw, want) {
				t.Error("there was nothing to recover")
			}
		})
	}
}
