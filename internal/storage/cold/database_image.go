package cold

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
)

// database is what a job that stores a database has beside the database itself.
type database struct {
	members   []*node
	contents  []*content
	snapshots []*cache.Snapshot
	coverage  map[*node]uint64 // the content of each member, by its generation

	changed []cache.Range // of the database's file since the object that S3 has
	known   bool
	patched []cache.Range // of the image, and not of the database's file

	committed bool // the journal's transaction has ended
}

func (d *database) close(c *core) {
	for _, s := range d.snapshots {
		s.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range d.contents {
		of.release()
	}
}

// prepareDatabase brings all of a database here, takes its files at one instant and puts the image together.
func (j *job) prepareDatabase(ctx context.Context) error {
	for _, n := range append([]*node{j.node}, j.database.members...) {
		if err := j.contents.bringHere(ctx, n); err != nil {
			return err
		}
		if err := j.contents.fillAll(ctx, n); err != nil {
			return err
		}
	}
	if err := j.takeDatabase(); err != nil {
		return err
	}
	image, err := j.image(ctx)
	if err != nil {
		return err
	}
	image.Patched(func(off, end int64) { j.database.patched = append(j.database.patched, cache.Range{Off: off, End: end}) })
	j.body, j.size = image, image.Size()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.planUpload(j.size, append(j.database.changed, j.database.patched...), j.database.known)
	return nil
}

// takeDatabase takes snapshots of a database's files while no write to any of them is under way.
func (j *job) takeDatabase() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	d, n := j.database, j.node
	if j.dirty.gen != j.keyGen || n.writing > 0 || !n.dirty() {
		return errChanged
	}
	j.takenAt()
	d.coverage = map[*node]uint64{}
	var err error
	j.snapshot, _, err = n.content.file.Snapshot(func(size int64, changed []cache.Range, known bool) []cache.Range {
		d.changed, d.known = changed, known
		return []cache.Range{{Off: 0, End: size}}
	})
	if err != nil {
		return takeError(err)
	}
	for _, m := range d.members {
		if j.databases.databaseOf(m) != n || m.writing > 0 || m.jobs > 0 || !m.dirty() {
			return errChanged
		}
		c, err := j.contents.acquire(m)
		if err != nil {
			return err
		}
		d.contents = append(d.contents, c)
		snap, _, err := c.file.Snapshot(func(size int64, _ []cache.Range, _ bool) []cache.Range { return []cache.Range{{Off: 0, End: size}} })
		if err != nil {
			return takeError(err)
		}
		d.snapshots, d.coverage[m] = append(d.snapshots, snap), m.dataGen
		if m.name == n.name+sqlitefile.JournalSuffix {
			d.committed = j.committed(snap, n.parent)
		}
	}
	if len(j.databases.countingMembers(n)) != len(d.members) {
		return errChanged // another has come
	}
	return j.beginWriteID()
}

func takeError(err error) error {
	if errors.Is(err, cache.ErrMissing) {
		return errChanged // it was evicted, or truncated and extended, since it was brought here
	}
	return err
}

// committed tells whether the super-journal that a journal names is gone, which commits the transaction. Only
// the database's own directory is looked at: elsewhere the super-journal is taken for there.
func (wk *worker) committed(journal *cache.Snapshot, dir *node) bool {
	back, ok, err := sqlitefile.OpenRollback(journal, journal.Size())
	if err != nil || !ok {
		return false
	}
	super, err := back.SuperName()
	if err != nil || super == "" || filepath.Dir(super) != filepath.Join(wk.cfg.ColdPath, dir.path()) {
		return false
	}
	return dir.dir.child(filepath.Base(super)) == nil
}

// image puts the database together from the snapshots of its files.
func (j *job) image(ctx context.Context) (*sqlitefile.Image, error) {
	p := sqlitefile.Parts{DB: j.snapshot, Size: j.snapshot.Size()}
	for i, s := range j.database.snapshots {
		if p.Size == 0 {
			break // SQLite throws away what lies beside an empty database
		}
		if strings.HasSuffix(j.database.members[i].name, sqlitefile.JournalSuffix) {
			back, ok, err := sqlitefile.OpenRollback(s, s.Size())
			if err != nil {
				return nil, err
			}
			if ok && !j.database.committed {
				p.Back = back
			}
			continue
		}
		if err := addLog(ctx, &p, s); err != nil {
			return nil, err
		}
	}
	return sqlitefile.NewImage(ctx, p)
}

// addLog finds out how much of a log counts.
func addLog(ctx context.Context, p *sqlitefile.Parts, s *cache.Snapshot) error {
	h, err := sqlitefile.Head(s, sqlitefile.LogHeaderSize)
	if err != nil {
		return err
	}
	log, ok := sqlitefile.ParseLog(h)
	if !ok {
		return nil
	}
	p.Log, p.LogFile = log, s
	p.Frames, err = log.LastCommit(ctx, s, s.Size())
	return err
}
