package hot

import (
	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// A SQLite database is one object (package sqlite), so the log and the journal beside it are no names
// of their own here: a change of theirs is a change of the database, and what the journal knows
// of the database is the state of them all.

// state is what the journal would keep of what lstat has said i of.
func (w *walker) state(path string, i tree.Info) journal.Stat {
	if d, name, err := w.dirOf(path); err == nil {
		return sqlite.StateOf(d, name, i)
	}
	return i.Stat
}

// isMember tells whether the file at a path belongs to a database, and then looks at the database.
func (w *walker) isMember(path string) bool {
	if _, ok := sqlitefile.Base(path); !ok {
		return false
	}
	d, name, err := w.dirOf(path)
	if err != nil {
		return false
	}
	base, ok := sqlite.IsMember(d, name)
	if !ok {
		return false
	}
	w.member(path, tree.Join(d.Path(), base))
	return true
}

// member notes that a member of a database was seen.
func (w *walker) member(path, base string) {
	_, stored := w.h.journal.Get(path)
	known, _ := w.h.journal.Get(base)
	w.p.sawMember(path, base)
	w.touchDatabase(base, stored && !known.Whole)
}

// touchDatabase looks at a database one of whose members has changed. anyway: it is to be written
// in any state.
func (w *walker) touchDatabase(base string, anyway bool) {
	i, err := w.h.root.Lstat(base)
	if err != nil || !i.IsRegular() || w.h.rules.Load().Match(base, false) {
		return // the event of that is on its way, or it is left out
	}
	w.presentAs(base, i, w.state(base, i), true)
	if anyway {
		w.p.rewrite(base, i.Size)
	}
}

// touchesDatabase tells whether a name at which something has changed, or gone, is a member's of a
// database that is there, and then looks at that.
func (w *walker) touchesDatabase(path string) bool {
	base, ok := sqlitefile.Base(path)
	if !ok {
		return false
	}
	d, name, err := w.dirOf(base)
	if err != nil || !sqlite.Is(d, name) {
		return false
	}
	known, _ := w.h.journal.Get(base)
	_, stored := w.h.journal.Get(path)
	w.touchDatabase(base, stored && !known.Whole)
	return true
}

// releaseMembers notes what a database that is gone has left behind: files of their own from now on.
func (w *walker) releaseMembers(path string) {
	if known, ok := w.h.journal.Get(path); !ok || !known.Whole {
		return
	}
	d, name, err := w.dirOf(path)
	if err != nil {
		return
	}
	dir := d.Path()
	for _, member := range sqlite.Members(d, name) {
		w.lookAt(tree.Join(dir, member))
	}
}

// dirOf opens the directory of a path for the rest of this batch.
func (w *walker) dirOf(path string) (*tree.Dir, string, error) {
	dir, name := tree.Split(path)
	if w.at == nil || w.at.Path() != dir {
		d, err := w.h.root.OpenDir(dir)
		if err != nil {
			return nil, name, err
		}
		if w.at != nil {
			w.at.Close()
		}
		w.at = d
	}
	return w.at, name, nil
}

// gatherDatabases takes the members of databases out of a directory's entries, and gives the
// databases the state of them all. excluded are members that the rules leave out.
func gatherDatabases(d *tree.Dir, seen []journal.Seen, excluded []string) []journal.Seen {
	members := map[string]bool{}
	note := func(name string) {
		if base, ok := sqlitefile.Base(name); ok && sqlite.Is(d, base) {
			members[name], members[base] = true, false
		}
	}
	for _, name := range excluded {
		note(name)
	}
	for _, s := range seen {
		if s.Mode&unix.S_IFMT == unix.S_IFREG {
			note(s.Name)
		}
	}
	if len(members) == 0 {
		return seen
	}
	kept := seen[:0]
	for _, s := range seen {
		member, part := members[s.Name]
		if part && member {
			continue
		}
		if i, err := d.Lstat(s.Name); part && err == nil && i.Stat == s.Stat {
			s.Stat = sqlite.StateOf(d, s.Name, i)
		}
		kept = append(kept, s)
	}
	return kept
}
