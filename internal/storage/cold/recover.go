package cold

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/hot/conflict"
)

// recovery takes up what an earlier process left.
type recovery struct {
	*core
	tree     *tree
	changes  *changes
	contents *contents
	damaged  []contract.Unsaved // what had to be set aside
}

// recover makes tree and dirty keys of what an earlier process left in its journal. What is damaged is set
// aside and named, and never keeps the rest from being recovered.
func (rc *recovery) recover(found pending.Found) error {
	all := slices.SortedFunc(maps.Values(found.Entries), func(a, b pending.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if found.Damaged != nil {
		rc.log.Error("the cold path's journal is damaged; it was set aside, and what it does not tell any more goes up under other names",
			"event", "cold_damaged", "kept_as", found.SetAside, "error", found.Damaged)
		rc.damaged = append(rc.damaged, contract.Unsaved{Path: found.SetAside, Reason: fmt.Sprintf("the cold path's journal is damaged: %v", found.Damaged)})
	}
	crash := rc.judgeCrash(all)
	used := map[string]bool{}
	// Directories first: the entries in them are attached to them.
	for _, dirs := range []bool{true, false} {
		for i := range all {
			if e := &all[i]; (e.Kind == pending.Dir) == dirs {
				used[e.Data] = true
				if err := rc.recoverEntry(e, crash); err != nil {
					rc.setAside(e, err)
				}
			}
		}
	}
	names, err := rc.cache.DirtyNames()
	if err != nil {
		return err
	}
	lostEntries := rc.cache.Rebooted() || found.Damaged != nil
	for _, name := range names {
		if used[name] {
			continue
		}
		if lostEntries && !found.Mentioned[name] {
			rc.recoverUnnamed(name)
		} else if err := rc.cache.RemoveDirty(name); err != nil { // of a file that had lost its name, or of an upload that was just done
			rc.log.Warn("cached content that is wanted no longer cannot be removed", "event", "cold_cache_remove", "error", err)
		}
	}
	if len(all) > 0 {
		rc.log.Info("changes of the cold path that an earlier process did not bring to S3 go up now", "event", "cold_recovered", "changes", len(all))
	}
	return rc.cache.Recovered()
}

// setAside lets go of an entry that cannot be recovered: its content is kept where nothing touches it.
func (rc *recovery) setAside(e *pending.Entry, why error) {
	u := contract.Unsaved{Path: rc.sandboxPath(e.Path), Reason: why.Error()}
	if e.Data != "" {
		kept, err := rc.cache.SetAside(e.Data)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			rc.log.Error("damaged content cannot be set aside; it stays in the cache's directory", "event", "cold_damaged", "path", e.Path, "error", err)
		}
		if kept != "" {
			u.Reason += "; what is here of its content is kept in " + kept
		}
	}
	rc.log.Error("a change of the cold path cannot be recovered; the file is as it is in S3", "event", "cold_damaged", "path", e.Path, "reason", u.Reason)
	rc.damaged = append(rc.damaged, u)
	rc.rewrite(pending.Batch{Remove: []string{e.Path}})
}

// rewrite has the journal follow what recover decides. Without room for it the next start decides the
// same again.
func (rc *recovery) rewrite(b pending.Batch) {
	if err := rc.changes.writeJournal(b); err != nil {
		rc.log.Warn("the cold path's journal does not have what was recovered of it", "event", "cold_journal", "error", err)
	}
}

// recoverUnnamed gives content of which the journal does not speak a name at the root: its entry was
// lost when the machine went down, and its path with it.
func (rc *recovery) recoverUnnamed(data string) {
	now := time.Now()
	e := &pending.Entry{
		Path: conflict.Name("recovered-"+data[:min(len(data), 8)], rc.cfg.SandboxID, now),
		Kind: pending.File, Mode: 0o600, Since: now.UnixNano(), Live: true, Data: data, Synced: true,
	}
	n := rc.tree.newNode(pending.File)
	err := rc.recoverData(n, e)
	if err == nil && n.size == 0 {
		if err := rc.cache.RemoveDirty(data); err != nil {
			rc.log.Warn("an empty file in the cache cannot be removed", "event", "cold_cache_remove", "error", err)
		}
		return
	}
	if err != nil {
		rc.setAside(e, err)
		return
	}
	rc.changes.seq++
	e.Seq = rc.changes.seq
	if err := rc.recoverEntry(e, crashed{}); err != nil {
		rc.setAside(e, err)
		return
	}
	rc.log.Warn("content was written shortly before the machine went down, and its path is not known any more; it is kept under another name",
		"event", "cold_torn", "kept_as", e.Path)
	rc.rewrite(pending.Batch{Put: []pending.Entry{rc.changes.dirtyKeys[e.Path].entry()}})
}

func (rc *recovery) recoverEntry(e *pending.Entry, crash crashed) error {
	rc.changes.seq = max(rc.changes.seq, e.Seq)
	s := &dirtyKey{
		path: e.Path, seq: e.Seq, first: e.Seq, since: time.Unix(0, e.Since), base: e.Base,
		writes: e.Writes, uploadID: e.UploadID,
	}
	if e.Kind != pending.Nothing {
		n, err := rc.recoverNode(e, crash)
		if err != nil {
			return err
		}
		s.node, s.uploadGen = n, n.gen
		if e.Live { // it may have changed since the upload began, and its metadata with it
			rc.changes.abandon(e.Path, s.uploadID)
			s.uploadID = ""
		}
		if path := n.objectPath(); path != e.Path {
			rc.recoverAs(s, path)
			return nil
		}
	}
	rc.changes.dirtyKeys[s.path] = s
	rc.changes.enqueue(s)
	return nil
}

// enqueue gives a dirty key that was made without tx its places.
func (ch *changes) enqueue(s *dirtyKey) {
	if s.deletion() {
		ch.countDeletion(s.path, 1)
	}
	ch.holdDeletions(s, time.Now())
	s.due = time.Now()
	ch.ready.set(s)
}

// recoverAs has a file that must not replace what S3 has under its name go up under another.
func (rc *recovery) recoverAs(s *dirtyKey, path string) {
	old := s.path
	s.path, s.base, s.writes, s.uploadID = path, version{}, nil, ""
	rc.changes.dirtyKeys[path] = s
	rc.changes.enqueue(s)
	rc.rewrite(pending.Batch{Remove: []string{old}, Put: []pending.Entry{s.entry()}})
}

// recoverNode makes the node of an entry.
func (rc *recovery) recoverNode(e *pending.Entry, crash crashed) (*node, error) {
	path, isDir := strings.CutSuffix(e.Path, "/")
	parent, name := rc.tree.nearestDir(path)
	n := parent.dir.child(name)
	if n == nil || n.kind != e.Kind {
		if isDir != (e.Kind == pending.Dir) {
			return nil, fmt.Errorf("the cold path's journal calls %q a thing of kind %d", e.Path, e.Kind)
		}
		n = rc.tree.newNode(e.Kind)
	}
	n.mode, n.mtime, n.own().target = uint16(e.Mode), e.Mtime, e.Target
	n.modeKnown, n.mtimeKnown = !e.ModeGuessed, !e.MtimeGuessed
	n.ctime, n.own().gen, n.own().synced = e.Since, 1, e.Synced
	n.setRemote(e.Source.Version)
	switch {
	case e.Kind == pending.Symlink:
		n.setSize(int64(len(n.target)))
	case e.Kind == pending.File && e.Data == "":
		n.setSize(n.remote().Size)
	case e.Kind == pending.File:
		if err := rc.recoverData(n, e); err != nil {
			return nil, err
		}
		if other := crash.nameFor(e.Path); n.dirty() && other != "" {
			for at := time.Now(); parent.dir.child(other) != nil; at = at.Add(time.Millisecond) {
				other = conflict.Name(name, rc.cfg.SandboxID, at)
			}
			rc.log.Warn("a file that was not yet in S3 when the machine went down may be torn; it is kept under another name",
				"event", "cold_torn", "path", e.Path, "kept_as", other)
			name = other
		}
	}
	if n.parent == nil {
		rc.tree.attach(parent, name, n)
	}
	if e.Source.Path != "" && e.Source.Path != e.Path {
		rc.changes.setOrigin(n, e.Source.Path)
	}
	return n, nil
}

// Errors of content that cannot be recovered.
var (
	errNoContent = errors.New("its content is missing from the cold path's cache")
	errTornPart  = errors.New("a part of it was changed shortly before the machine went down, and that change was not synced")
)

// recoverData takes up a file's content. Where that is missing, and S3 has an earlier version, the
// file is as S3 has it.
func (rc *recovery) recoverData(n *node, e *pending.Entry) error {
	f, err := rc.cache.OpenDirty(e.Data)
	if errors.Is(err, os.ErrNotExist) {
		if n.setSize(n.remote().Size); !n.hasRemote() {
			return errNoContent
		}
		return nil
	}
	if err != nil {
		return err
	}
	n.own().data, n.own().dataGen, n.own().live = e.Data, 1, false
	n.setSize(f.Size())
	if e.Live {
		n.mtime = f.Modified().UnixNano()
	}
	whole := f.Whole()
	f.Return()
	if !whole && (!n.hasRemote() || rc.cache.Rebooted() && !e.Synced) {
		n.own().data = ""
		return errTornPart
	}
	return nil
}
