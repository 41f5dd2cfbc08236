// Package ledger is a SQLite database for tests whose state can be judged: processes of their own
// move amounts between accounts, and every state after a whole number of transactions adds up.
//
// SQLite is its own program, sqlite3: the real locks and the real recovery, in processes that a
// test can kill as it likes.
package ledger

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const accounts = 40

// Mode is a journal mode of SQLite.
type Mode string

// The journal modes in which a kill leaves something to recover.
const (
	WAL      Mode = "wal"
	Delete   Mode = "delete"
	Truncate Mode = "truncate"
	Persist  Mode = "persist"
)

// Modes are all of them.
var Modes = []Mode{WAL, Delete, Truncate, Persist}

// Run has sqlite3 execute commands on the database at path, and gives what it prints.
func Run(path string, commands ...string) (string, error) {
	args := []string{"-batch", "-bail", "-cmd", ".timeout 20000", path}
	out, err := exec.Command("sqlite3", append(args, commands...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("sqlite3 %s: %w: %s (is the package sqlite3 installed?)", path, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// Create makes a ledger.
func Create(t testing.TB, path string, mode Mode) {
	t.Helper()
	_, err := Run(path, "PRAGMA journal_mode="+string(mode), `
		CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
		CREATE TABLE entry(writer INTEGER, n INTEGER, debit INTEGER, credit INTEGER, amount INTEGER, pad TEXT, PRIMARY KEY(writer, n));
		CREATE INDEX by_debit ON entry(debit, amount); CREATE INDEX by_credit ON entry(credit, amount);`,
		fmt.Sprintf("WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x < %d) INSERT INTO account SELECT x, 0 FROM c", accounts))
	if err != nil {
		t.Fatal(err)
	}
}

// Writer is a process that writes to a ledger.
type Writer struct {
	number int
	last   atomic.Int64
	cmd    *exec.Cmd
	in     io.WriteCloser
	said   strings.Builder
	ended  chan struct{}
}

// environment puts sqlite3's temporary files, which a killed one leaves, into a directory of the test.
func environment(t testing.TB) []string { return append(os.Environ(), "SQLITE_TMPDIR="+t.TempDir()) }

// Start starts a writer, which is killed when the test ends. Its cache is small: most transactions
// reach the files before they end.
func Start(t testing.TB, number int, mode Mode, path string) *Writer {
	t.Helper()
	w := &Writer{number: number, ended: make(chan struct{}), cmd: exec.Command("sqlite3", "-batch", "-bail", path)}
	w.cmd.Stderr = &w.said
	w.cmd.Env = environment(t)
	in, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		t.Fatalf("cannot start a writer: %v (is the package sqlite3 installed?)", err)
	}
	w.in = in
	t.Cleanup(w.Kill)
	fmt.Fprintf(in, `.timeout 20000
		PRAGMA journal_mode=%s; PRAGMA cache_size=5; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=50;
		SELECT 'n', coalesce(max(n), 0) FROM entry WHERE writer = %d;
	`, mode, number)
	go w.write(bufio.NewScanner(out))
	return w
}

// write begins a transaction when the one before it is committed, until the writer is killed.
func (w *Writer) write(lines *bufio.Scanner) {
	defer close(w.ended)
	for lines.Scan() {
		last, ok := strings.CutPrefix(lines.Text(), "n|")
		if !ok {
			continue
		}
		n, _ := strconv.Atoi(last)
		w.last.Store(int64(n))
		time.Sleep(rand.N(4 * time.Millisecond)) // leaves the processor to the others
		_, _ = io.WriteString(w.in, w.transaction(n))
	}
}

func (w *Writer) transaction(n int) string {
	var b strings.Builder
	b.WriteString("BEGIN IMMEDIATE;\n")
	many := 1 + n%3
	if n%7 == 0 {
		many = 60
	}
	for range many {
		n++
		from, to, amount := 1+n*7%accounts, 1+(n*11+w.number)%accounts, n%100
		fmt.Fprintf(&b, "UPDATE account SET balance = balance - %d WHERE id = %d;\n", amount, from)
		fmt.Fprintf(&b, "INSERT INTO entry VALUES(%d, %d, %d, %d, %d, hex(randomblob(%d)));\n", w.number, n, from, to, amount, n%150)
		fmt.Fprintf(&b, "UPDATE account SET balance = balance + %d WHERE id = %d;\n", amount, to)
	}
	if n%5 == 0 {
		fmt.Fprintf(&b, "UPDATE entry SET pad = hex(randomblob(50)) WHERE writer = %d AND n %% 3 = 0;\n", w.number)
	}
	fmt.Fprintf(&b, "COMMIT;\nSELECT 'n', %d;\n", n)
	return b.String()
}

// Last is the number of the last entry that the writer has committed.
func (w *Writer) Last() int64 { return w.last.Load() }

// Kill kills the writer at any point of its work, and returns when it is gone.
func (w *Writer) Kill() {
	_ = w.cmd.Process.Kill()
	<-w.ended
	_ = w.cmd.Wait()
}

// State is what a ledger holds: the last entry of each writer.
type State map[int]int64

// Check opens the ledger at path, which may have a log or a journal beside it, and tells what is
// wrong with it.
func Check(path string) (State, error) {
	said, err := Run(path, "PRAGMA integrity_check", `
		SELECT 'sum', sum(balance), count(*) FROM account;
		SELECT 'wrong', count(*) FROM account a WHERE balance <>
			(SELECT coalesce(sum(amount), 0) FROM entry WHERE credit = a.id) - (SELECT coalesce(sum(amount), 0) FROM entry WHERE debit = a.id);
		SELECT 'writer', writer, max(n), count(*) FROM entry GROUP BY writer ORDER BY writer;`)
	if err != nil {
		return nil, err
	}
	sound, rest, _ := strings.Cut(said, "\n")
	sums, rest, _ := strings.Cut(rest, "\n")
	wrong, rest, _ := strings.Cut(rest, "\n")
	if sound != "ok" || sums != fmt.Sprintf("sum|0|%d", accounts) || wrong != "wrong|0" {
		return nil, fmt.Errorf("the ledger does not add up: %s", said)
	}
	state := State{}
	for line := range strings.Lines(rest) {
		var writer int
		var last, many int64
		if _, err := fmt.Sscanf(line, "writer|%d|%d|%d", &writer, &last, &many); err != nil || last != many {
			return nil, fmt.Errorf("entries are missing: %s", said)
		}
		state[writer] = last
	}
	return state, nil
}

// Crash has sqlite3 execute commands on the database at path, and kills it before it can tidy up: its log
// or its journal stays.
func Crash(t testing.TB, path string, commands ...string) {
	t.Helper()
	args := append(append([]string{"-batch", "-bail", path}, commands...), ".shell kill -9 $PPID")
	cmd := exec.Command("sqlite3", args...)
	cmd.Env = environment(t)
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("sqlite3 was not killed: %v: %s (is the package sqlite3 installed?)", err, out)
	}
}
