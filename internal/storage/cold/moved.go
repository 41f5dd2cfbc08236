package cold

import "github.com/matrx/sandbox/internal/storage/cold/pending"

// What a job sent may arrive when its node has another path already, or none. The content is in S3 then,
// under the old path, and need not be sent again.

// storedElsewhere takes in that S3 has what an attempt sent at a path that the node has left. With mu.
func (j *job) storedElsewhere(t *tx, v version) error {
	n := j.node
	if n.kind != pending.File || j.database != nil || n.origin != "" && n.origin != j.path {
		return t.commit()
	}
	sameData := n.dataGen == j.dataGen && n.writing == 0
	if n.parent == nil {
		// Programs that have it open find the rest of it in the new version.
		if err := t.commit(); err != nil {
			return err
		}
		n.setRemote(v)
		j.basedOn(v)
		return nil
	}
	s := j.changes.dirtyKeys[n.objectPath()]
	if s == nil || s.node != n || n.data == "" {
		return t.commit()
	}
	data, live, remote, origin := n.data, n.live, n.remote(), n.origin
	t.undo(func() {
		n.own().data, n.own().live = data, live
		n.setRemote(remote)
		j.changes.setOrigin(n, origin)
	})
	if sameData {
		n.own().data, n.own().live = "", false // its object will be a copy of what has arrived
	}
	n.setRemote(v)
	j.changes.setOrigin(n, j.path)
	t.touch(n.objectPath())
	if err := t.commit(); err != nil {
		return err
	}
	if sameData {
		j.markClean(n, v)
	} else {
		j.basedOn(v)
	}
	return nil
}

// basedOn has the content be fetched from, and be compared with, the version that an attempt stored.
func (j *job) basedOn(v version) {
	if c := j.node.content; c != nil {
		c.moved(j.key, v)
		if j.snapshot != nil {
			j.snapshot.Stored()
		}
	}
}
