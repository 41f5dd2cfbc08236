package sqlite

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io/fs"
	"os"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// Stats are what lstat says of a database's files. Members that are not there, or empty, are zero.
type Stats struct {
	DB           tree.Info
	WAL, Journal journal.Stat
}

// State is one stat for all of them: the database's own, into which those of its members are
// folded. It changes whenever one of them does, and is the database's own while they are empty.
// The wal-index is no part of it: it has nothing that the others have not.
func (s Stats) State() journal.Stat {
	st := s.DB.Stat
	if s.WAL.Size == 0 && s.Journal.Size == 0 {
		return st
	}
	h := fnv.New64a()
	for _, m := range []journal.Stat{s.WAL, s.Journal} {
		for _, n := range []int64{m.Size, m.Mtime, m.Ctime, int64(m.Ino)} {
			_ = binary.Write(h, binary.LittleEndian, n) // a hash does not fail
		}
	}
	st.Ctime ^= int64(h.Sum64())
	if st.Ctime == 0 {
		st.Ctime = 1 // 0 says that the stat proves nothing
	}
	return st
}

// Changed is when the database was changed last, by the times of its files.
func (s Stats) Changed() time.Time {
	return time.Unix(0, max(s.DB.Ctime, s.WAL.Ctime, s.Journal.Ctime))
}

// Mtime is the newest of the files' mtimes.
func (s Stats) Mtime() int64 { return max(s.DB.Mtime, s.WAL.Mtime) }

// StateOf is [Stats.State] of the file at name, of which lstat has said i. Of a file that is no
// database it is i's own.
func StateOf(d *tree.Dir, name string, i tree.Info) journal.Stat {
	if !i.IsRegular() {
		return i.Stat
	}
	s := Stats{DB: i, WAL: member(d, name+sqlitefile.LogSuffix), Journal: member(d, name+sqlitefile.JournalSuffix)}
	if s.WAL.Size == 0 && s.Journal.Size == 0 || !Is(d, name) {
		return i.Stat
	}
	return s.State()
}

func member(d *tree.Dir, name string) journal.Stat {
	if len(name) > tree.NameMax {
		return journal.Stat{}
	}
	i, err := d.Lstat(name)
	if err != nil || !i.IsRegular() || i.Size == 0 {
		return journal.Stat{}
	}
	return i.Stat
}

// Is tells whether name is a database: by its own header, or by that of its log or journal.
func Is(d *tree.Dir, name string) bool {
	f, err := d.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return IsFile(d, name, f)
}

// IsFile is [Is] of a file that is open.
func IsFile(d *tree.Dir, name string, db *os.File) bool {
	if h, err := sqlitefile.Head(db, sqlitefile.HeaderSize); err == nil && sqlitefile.IsDatabase(h) {
		return true
	}
	for _, suffix := range []string{sqlitefile.LogSuffix, sqlitefile.JournalSuffix} {
		if member(d, name+suffix).Size > 0 && IsLog(d, name+suffix) {
			return true
		}
	}
	return false
}

// IsLog tells whether a file beside a name would be applied to a database that came there: it is a log or
// a journal, which SQLite never compares with the database.
func IsLog(d *tree.Dir, name string) bool {
	f, err := d.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	h, err := sqlitefile.Head(f, sqlitefile.HeaderSize)
	return err == nil && sqlitefile.IsLog(h)
}

// Members are the names of the files that belong to a database of that name, in the order of Suffixes.
func Members(d *tree.Dir, name string) (names []string) {
	for _, suffix := range sqlitefile.Suffixes {
		if len(name)+len(suffix) > tree.NameMax {
			continue
		}
		if i, err := d.Lstat(name + suffix); err == nil && i.IsRegular() {
			names = append(names, name+suffix)
		}
	}
	return names
}

// IsMember tells whether name belongs to a database beside it, and to which. A link or anything else that is no
// file belongs to none.
func IsMember(d *tree.Dir, name string) (base string, ok bool) {
	base, ok = sqlitefile.Base(name)
	if !ok {
		return base, false
	}
	if i, err := d.Lstat(name); err == nil && !i.IsRegular() {
		return base, false
	}
	return base, Is(d, base)
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, tree.ErrNotRegular) || tree.IsNotDir(err)
}
