package sqlite

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// AtRest tells whether the file of a database is the whole of it, and takes no lock: a program that
// commits at this moment without a busy timeout is not disturbed. Then the database is what the
// file has for as long as the file's stat is that of the Stats, provided that this is not so young that a
// write need not move it. When AtRest says no, Open may find the same under the locks.
func AtRest(d *tree.Dir, name string, db *os.File) (s Stats, ok bool) {
	i, err := tree.Fstat(db.Fd())
	if err != nil {
		return s, false
	}
	s = Stats{DB: i, WAL: member(d, name+sqlitefile.LogSuffix), Journal: member(d, name+sqlitefile.JournalSuffix)}
	if s.WAL.Size > 0 || s.Journal.Size > 0 && !isOver(d, name+sqlitefile.JournalSuffix, s.Journal) {
		return s, false
	}
	// A process that writes to the file holds one of these, with every kind of journal.
	writing, err := control(db, unix.F_OFD_GETLK, unix.F_RDLCK, span{sqlitefile.PendingByte, 2 + sharedSize})
	if err != nil || writing {
		return s, false
	}
	now, err := tree.Fstat(db.Fd())
	return s, err == nil && now.Stat == i.Stat
}

// isOver tells whether a journal's transaction has ended: with journal_mode=PERSIST its first bytes
// are zeros then.
func isOver(d *tree.Dir, name string, seen journal.Stat) bool {
	f, err := d.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	h, err := sqlitefile.Head(f, 1)
	return err == nil && len(h) == 1 && h[0] == 0 && member(d, name) == seen
}
