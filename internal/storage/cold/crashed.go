package cold

import (
	"path"
	"strings"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/hot/conflict"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
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
func (rc *recovery) judgeCrash(entries []pending.Entry) crashed {
	c := crashed{names: map[string]string{}}
	if !rc.cache.Rebooted() {
		return c
	}
	now := time.Now()
	groups := map[string][]*pending.Entry{}
	for i := range entries {
		e := &entries[i]
		if e.Kind != pending.File || e.Data == "" {
			continue
		}
		stem := stemOf(e.Path)
		groups[stem] = append(groups[stem], e)
	}
	for stem, members := range groups {
		database, usable := false, true
		for _, e := range members {
			magic, ok := rc.inspect(e)
			database = database || magic
			usable = usable && ok
		}
		for _, e := range members {
			if database && usable || !database && e.Synced {
				continue
			}
			c.names[e.Path] = rc.contents.keptAs(path.Base(stem), now) + strings.TrimPrefix(e.Path, stem)
		}
	}
	return c
}

// keptAs is the conflict name of a file's stem, which leaves room for the longest ending.
func (cs *contents) keptAs(stem string, at time.Time) string {
	room := MaxName - len(sqlitefile.JournalSuffix) - len(conflict.Name("", cs.cfg.SandboxID, at))
	return conflict.Name(stem[:min(len(stem), max(room, 0))], cs.cfg.SandboxID, at)
}

// stemOf is the path of the database to which a file would belong; of any other file the path itself.
func stemOf(path string) string {
	if stem, ok := sqlitefile.Base(path); ok && !strings.HasSuffix(stem, "/") {
		return stem
	}
	return path
}

// inspect looks at an entry's content: whether it is a file of SQLite's, and whether it can be
// recovered.
func (rc *recovery) inspect(e *pending.Entry) (database, usable bool) {
	f, err := rc.cache.OpenDirty(e.Data)
	if err != nil {
		return false, false
	}
	defer f.Return()
	head, _ := sqlitefile.Head(f, sqlitefile.HeaderSize) // too short, or not here: no header
	return sqlitefile.IsDatabase(head) || sqlitefile.IsLog(head), f.Whole() || e.Synced
}
