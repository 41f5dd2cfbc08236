package cold

import (
	"path"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/hot/conflict"
)

// crashed says which files may be torn because the machine went down, and under which names they are
// kept: S3's version keeps the path.
//
// The files of an SQLite database are one case. SQLite recovers from the end of a machine by itself, if
// it finds the database together with its -wal or -journal as the disk has them, and damages the
// database if it finds one without the other. So they all stay, or, where one of them cannot be
// recovered, they all get other names with the same stem.
type crashed struct {
	names map[string]string // the new name, without its directory, by path
}

// nameFor is the name that a file is kept under; empty: its own.
func (c crashed) nameFor(path string) string { return c.names[path] }

// judgeCrash finds out what a crash of the machine has left.
func (fs *FS) judgeCrash(entries []pending.Entry) crashed {
	c := crashed{names: map[string]string{}}
	if !fs.cache.Rebooted() {
		return c
	}
	now := time.Now()
	groups := map[string][]*pending.Entry{}
	for i := range entries {
		e := &entries[i]
		if e.Kind != pending.File || e.Data == "" {
			continue
		}
		stem, _ := databaseOf(e.Path)
		groups[stem] = append(groups[stem], e)
	}
	for stem, members := range groups {
		database, usable := false, true
		for _, e := range members {
			magic, ok := fs.inspect(e)
			database = database || magic
			usable = usable && ok
		}
		for _, e := range members {
			if database && usable || !database && e.Synced {
				continue
			}
			_, suffix := databaseOf(e.Path)
			c.names[e.Path] = fs.keptAs(path.Base(stem), now) + suffix
		}
	}
	return c
}

// keptAs is the conflict name of a file's stem, which leaves room for the longest ending.
func (fs *FS) keptAs(stem string, at time.Time) string {
	room := MaxName - len(longestSuffix) - len(conflict.Name("", fs.cfg.SandboxID, at))
	return conflict.Name(stem[:min(len(stem), max(room, 0))], fs.cfg.SandboxID, at)
}

// sidecars are the endings of the files that SQLite keeps beside a database ("Temporary Files Used By
// SQLite", sections 2.1 to 2.3). It builds a -shm anew when nothing else has the database open.
var sidecars = []string{"-wal", "-shm", longestSuffix}

const longestSuffix = "-journal"

// databaseOf is the path of the database to which a file belongs, and the file's ending; of any other
// file the path itself.
func databaseOf(path string) (stem, suffix string) {
	for _, suffix := range sidecars {
		if stem, ok := strings.CutSuffix(path, suffix); ok && stem != "" && !strings.HasSuffix(stem, "/") {
			return stem, suffix
		}
	}
	return path, ""
}

// magics begin SQLite's files: a database, a -wal of either byte order, a -journal ("Database File
// Format", sections 1.3.1, 4.1 and 3).
var magics = []string{"SQLite format 3\x00", "\x37\x7f\x06\x82", "\x37\x7f\x06\x83", "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"}

// inspect looks at an entry's content: whether it is a file of SQLite's, and whether it can be
// recovered.
func (fs *FS) inspect(e *pending.Entry) (database, usable bool) {
	f, err := fs.cache.OpenDirty(e.Data)
	if err != nil {
		return false, false
	}
	defer f.Return()
	head := make([]byte, 16)
	n, _ := f.ReadAt(head, 0) // too short, or not here: no magic
	for _, m := range magics {
		database = database || strings.HasPrefix(string(head[:n]), m)
	}
	return database, f.Whole() || e.Synced
}
