package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/stable"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/storage/sqlitefile"
	"github.com/matrx/sandbox/internal/threads"
)

// key is a path's key below the prefix, or what keeps it from being stored. What was read from a
// key of another tool's, in another form than ours, is written back to that very key.
func (s *Sender) key(path string, isDir bool) (string, error) {
	if known, ok := s.Journal.Get(path); ok && known.IsMarker() == isDir {
		return known.Key, nil
	}
	whole, err := posixattr.KeyWithPrefix(s.Prefix, path, isDir)
	return strings.TrimPrefix(whole, s.Prefix), err
}

// file stores a file or a symbolic link.
func (s *Sender) file(ctx context.Context, path string, how How) (r Result) {
	parent, name := tree.Split(path)
	threads.Disk.Enter()
	d, err := s.Root.OpenDir(parent)
	var i tree.Info
	if err == nil {
		defer d.Close()
		i, err = d.Lstat(name)
	}
	threads.Disk.Leave()
	if err != nil {
		return local(path, err)
	}
	if !i.IsSymlink() && !i.IsRegular() {
		return changed(path)
	}
	defer func() { r.Ino = i.Ino }()
	if base, ok := sqlitefile.Base(name); ok {
		if _, moving := s.moving.Load(tree.Join(parent, base)); moving {
			return Result{Outcome: queue.Retry}
		}
	}
	if base, ok := sqlite.IsMember(d, name); ok {
		return Result{Outcome: queue.Stored, Recheck: []string{tree.Join(parent, base)}} // it goes with its database
	}
	// Only what is there is refused: a name that is gone needs no key.
	key, err := s.key(path, false)
	if err != nil {
		return Result{Outcome: queue.Stuck, Err: err}
	}
	v := &version{path: path, key: key, dir: d, name: name, force: how.Force}
	switch {
	case i.IsSymlink():
		return s.link(ctx, v, i)
	case i.Size > LargeSize:
		select {
		case s.large <- struct{}{}:
			defer func() { <-s.large }()
		case <-ctx.Done():
			return Result{Outcome: queue.Retry, Err: context.Cause(ctx)}
		}
	}
	if i.Nlink > 1 {
		s.linked.Do(func() {
			s.Log.Info("hard links are kept as files of their own", "event", "hard_links", "path", path)
		})
	}
	return s.regular(ctx, v, how)
}

func (s *Sender) link(ctx context.Context, v *version, i tree.Info) Result {
	target, err := v.dir.Readlink(v.name)
	var after tree.Info
	if err == nil {
		after, err = v.dir.Lstat(v.name)
	}
	if err == nil {
		err = v.dir.StillAt(v.name, i)
	}
	if err != nil {
		return local(v.path, err)
	}
	if after.Stat != i.Stat || int64(len(target)) != i.Size {
		return changed(v.path)
	}
	sum := sha256.Sum256([]byte(target))
	v.attr, v.local, v.sum = attrOf(i), i.Stat, &sum
	v.body, v.size = strings.NewReader(target), int64(len(target))
	return s.store(ctx, v)
}

func (s *Sender) regular(ctx context.Context, v *version, how How) Result {
	src, release, err := s.open(ctx, v.dir, v.name, how)
	defer release()
	if errors.Is(err, stable.ErrNotAtRest) {
		return Result{Outcome: queue.Unstable, Err: err, NotAtRest: true}
	}
	if src == nil {
		return local(v.path, err)
	}
	for {
		var r Result
		if err == nil {
			v.use(src)
			r = s.store(ctx, v)
			err = r.Err
		}
		if !errors.Is(err, stable.ErrMoved) {
			r.Recheck = append(r.Recheck, s.membersOf(v)...)
			return r
		}
		// It changed while it was read. A file that is written all the time is read from a clone.
		if err = src.Settle(ctx); errors.Is(err, stable.ErrNotAtRest) {
			return Result{Outcome: queue.Unstable, Err: err, NotAtRest: true}
		} else if err != nil {
			return local(v.path, err)
		}
	}
}

// use takes the version that src is at now.
func (v *version) use(src *stable.Source) {
	v.src, v.body, v.size, v.sum, v.whole = src, src, src.Size(), nil, src.IsDatabase()
	v.attr, v.local, v.racy = attrOf(src.Info), src.Local(), src.Racy()
}

// Verify compares a file once more with what was stored of it when its times were too young
// to be trusted, which is longer ago than such a time is. Its name is not pending. With Changed it is to be written again; Racy says
// that its times are still too young.
func (s *Sender) Verify(ctx context.Context, path string, alone bool) Result {
	known, ok := s.Journal.Get(path)
	if !ok || known.IsMarker() {
		return Result{Outcome: queue.Stored}
	}
	parent, name := tree.Split(path)
	d, err := s.Root.OpenDir(parent)
	if err != nil {
		return local(path, err)
	}
	defer d.Close()
	v := &version{path: path, dir: d, name: name}
	src, release, err := s.open(ctx, d, name, How{Quiesced: alone})
	defer release()
	if err != nil {
		return changed(path)
	}
	v.use(src)
	same, err := v.hasContent(ctx, known)
	if err != nil || !same || !v.hasAttr(known) {
		return changed(path)
	}
	if !alone && !src.Loose() && known.Local.LooksLike(v.local) {
		// It was seen like this before, longer ago than a tick of its clock takes. A clock that was set back, or that
		// is not the one of the files, would call it too young for hours.
		v.racy, v.local.Racy = false, false
	}
	s.Remember(s.Journal.Refresh(path, known.ETag, v.local))
	return Result{Outcome: queue.Stored, Racy: v.racy}
}

// marker stores a directory's marker, when it needs one: it is empty as far as S3 is
// concerned, or its permissions are not what a directory gets by itself. A marker
// that is there stays until the directory goes.
func (s *Sender) marker(ctx context.Context, path string, how How) Result {
	threads.Disk.Enter()
	d, err := s.Root.OpenDir(path)
	var i tree.Info
	empty := false
	if err == nil {
		defer d.Close()
		if i, err = d.Stat(); err == nil {
			empty = s.isEmpty(d)
			err = s.stillAt(path, i)
		}
	}
	threads.Disk.Leave()
	if err != nil {
		return local(path, err)
	}
	attr := attrOf(i)
	known, ok := s.Journal.Get(path)
	in, sent := s.Journal.Intent(path)
	sent = sent && strings.HasSuffix(in.Key, "/") // S3 may hold that instead of what is known
	switch {
	case ok && !known.IsMarker():
		return takesPlace(path, path)
	case sent:
	case !ok && !empty && attr.Perm() == defaultDirPerm:
		return Result{Outcome: queue.Stored}
	case ok && known.Mode&keep == attr.Mode && (!empty || known.Mtime == attr.Mtime):
		return Result{Outcome: queue.Stored}
	}
	// Only a marker that is needed needs a key: a directory that was empty for an instant is
	// not refused for that.
	key, err := s.key(path, true)
	if err != nil {
		return Result{Outcome: queue.Stuck, Err: err}
	}
	sum := sha256.Sum256(nil)
	v := &version{path: path, key: key, dir: d, force: how.Force, attr: attr, body: bytes.NewReader(nil), local: journal.Stat{}, sum: &sum}
	v.local = i.Stat
	return s.store(ctx, v)
}

// stillAt tells whether a path still leads to the directory that i describes.
func (s *Sender) stillAt(path string, i tree.Info) error {
	parent, name := tree.Split(path)
	d, err := s.Root.OpenDir(parent)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.StillAt(name, i)
}

// defaultDirPerm are the permissions of a directory of which S3 says nothing.
const defaultDirPerm = 0o755

// isEmpty tells whether nothing in a directory is kept in S3. One that cannot be read is not.
func (s *Sender) isEmpty(d *tree.Dir) bool {
	rules := s.Rules()
	for e, err := range d.Entries() {
		if err != nil {
			return false
		}
		if rules.MatchEntry(tree.Join(d.Path(), e.Name), e.IsDir()) {
			continue
		}
		if e.Type != 0 && !Kept(e.Type) {
			continue
		}
		return false
	}
	return true
}
