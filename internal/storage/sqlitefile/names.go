package sqlitefile

import (
	"io"
	"strings"
)

// Suffixes of the files that belong to a database, in the order in which they are moved: what
// would be applied to another database of the same name first.
var Suffixes = []string{LogSuffix, JournalSuffix, IndexSuffix}

// The suffixes of a write-ahead log, of a rollback journal, and of the index of a log, which is memory that
// SQLite's processes share and builds anew.
const (
	LogSuffix     = "-wal"
	JournalSuffix = "-journal"
	IndexSuffix   = "-shm"
)

// Kind names what this package reads, in an object's metadata.
const Kind = "sqlite"

// Base is the name of the database that name would be a member of. It says nothing of whether
// there is one.
func Base(name string) (base string, ok bool) {
	for _, s := range Suffixes {
		if base, ok := strings.CutSuffix(name, s); ok && base != "" {
			return base, true
		}
	}
	return "", false
}

// HeaderSize is how much of a file [IsDatabase] wants to see.
const HeaderSize = 16

const magic = "SQLite format 3\x00"

// IsDatabase tells whether a file begins as a SQLite database does.
func IsDatabase(header []byte) bool {
	return strings.HasPrefix(string(header[:min(len(header), HeaderSize)]), magic)
}

// IsLog tells whether a file begins as a write-ahead log or a rollback journal does. The
// database of such a file may be encrypted, and show no header of its own, or be empty still.
func IsLog(header []byte) bool {
	if len(header) < 8 {
		return false
	}
	m := be.Uint32(header)
	return m == walMagic || m == walMagic|1 || string(header[:8]) == journalMagic
}

// Head reads the first bytes of a file, as many as there are.
func Head(r io.ReaderAt, n int) ([]byte, error) {
	b := make([]byte, n)
	n, err := r.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// PendingByte is where SQLite's locks of a database begin, an offset in bytes. The page that has it is never used
// (https://www.sqlite.org/fileformat2.html#the_lock_byte_page).
const PendingByte = 0x40000000
