package upload

import (
	"errors"

	"github.com/matrx/sandbox/internal/storage/hot/conflict"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// The log and the journal of a database have no objects: the database's object is all of them. Where
// they have some from before, laid down by a tool or by a sandbox that stored each file by
// itself, those go when the database's object is whole, and not before: until then S3's database
// is the two together.

// replacesMembers tells whether a version has to be sent though S3 has its content: members of the
// database have objects, which may go only when the database's says that it is whole.
func (s *Sender) replacesMembers(v *version, known journal.Entry) bool {
	return v.whole && !known.Whole && len(s.members(v.path)) > 0
}

// membersOf are the members of a database that may lose their objects now.
func (s *Sender) membersOf(v *version) []string {
	if known, ok := s.Journal.Get(v.path); !v.whole || !ok || !known.Whole {
		return nil
	}
	return s.members(v.path)
}

// members are the paths of a database's members that have objects.
func (s *Sender) members(path string) (paths []string) {
	for _, suffix := range sqlitefile.Suffixes {
		if e, ok := s.Journal.Get(path + suffix); ok && !e.IsMarker() {
			paths = append(paths, path+suffix)
		}
	}
	return paths
}

// errWhole is why a member keeps its object.
var errWhole = errors.New("it waits for its database")

// member decides about the deletion of a member's object. replaced: the database's object has taken
// its place, also when the member is on the disk. With done the result is r.
func (s *Sender) member(path string) (r Result, done, replaced bool) {
	base, ok := sqlitefile.Base(path)
	if !ok {
		return r, false, false
	}
	wait := Result{Outcome: queue.Retry, Err: errWhole, WaitsFor: base}
	known, stored := s.Journal.Get(base)
	parent, name := tree.Split(base)
	d, err := s.Root.OpenDir(parent)
	if err == nil {
		defer d.Close()
		if sqlite.Is(d, name) {
			if stored && known.Whole {
				return r, false, true
			}
			wait.Recheck = []string{path}
			return wait, true, false
		}
	}
	// The database goes first: without its log it is in a state that it never had.
	if stored && !known.IsMarker() && s.Journal.HasTombstone(base) {
		return wait, true, false
	}
	return r, false, false
}

// move makes the conflict copy of a database with all its files.
func (s *Sender) move(v *version, to string, rename func() error) error {
	path := tree.Join(v.dir.Path(), to)
	s.moving.Store(path, nil)
	defer s.moving.Delete(path)
	return conflict.Move(v.dir, v.name, to, rename)
}

// clearMembers moves aside what would be applied to a database that comes to a name.
func (s *Sender) clearMembers(d *tree.Dir, name string) error {
	for _, member := range sqlite.Members(d, name) {
		if !sqlite.IsLog(d, member) {
			continue
		}
		i, err := d.Lstat(member)
		if err == nil {
			_, err = s.rename(&version{dir: d, name: member, local: i.Stat})
		}
		if err != nil && !missing(err) {
			return err
		}
	}
	return nil
}
