package hydrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/matrx/sandbox/internal/storage/hot/fetch"
	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/threads"
)

// homeDir is the disk as it is changed. The directories that S3 implies or marks are made when the first file
// needs them, and get their attributes last. What stands in the way becomes a conflict copy.
type homeDir struct {
	disk
	newest atomic.Int64 // the latest ctime of what was written

	mu        sync.Mutex
	dirs      map[string]*directoryState
	conflicts []string // the copies
}

func newHomeDir(d disk) *homeDir { return &homeDir{disk: d, dirs: map[string]*directoryState{}} }

// directoryState is one of them. A child's lock is taken before its parent's.
type directoryState struct {
	mu      sync.Mutex
	ready   bool
	err     error      // why it cannot be had
	made    bool       // by us
	written bool       // something was put into it
	before  *tree.Info // when it was here already
	widened bool       // its mode was changed so that we may write into it
	marker  *marker    // what S3 says of it, when that is to be applied
}

type marker struct {
	object objectstore.Object
	key    string
	attr   posixattr.Attr
}

// want registers a directory and those above it.
func (h *homeDir) want(path string) {
	for path != "" && h.dirs[path] == nil {
		h.dirs[path] = new(directoryState)
		path, _ = tree.Split(path)
	}
}

// wanted says whether S3 implies or marks a directory.
func (h *homeDir) wanted(path string) bool { return h.dirs[path] != nil }

// directory is the state of any directory, also of one that S3 does not know.
func (h *homeDir) directory(path string) *directoryState {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.dirs[path]
	if s == nil {
		s = new(directoryState)
		h.dirs[path] = s
	}
	return s
}

// open opens a directory to write into it, made if need be.
func (h *homeDir) open(path string) (*tree.Dir, error) {
	if err := h.ensure(path, true); err != nil {
		return nil, err
	}
	return h.Root.OpenDir(path)
}

// ensure makes a directory if need be.
func (h *homeDir) ensure(path string, toWrite bool) error {
	if path == "" {
		return nil // the home was made so that it can be written
	}
	s := h.directory(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		s.ready = true
		s.err = h.make(path, s)
	}
	if s.err == nil && toWrite {
		s.written = true
		s.err = h.widenLocked(path, s)
	}
	return s.err
}

func (h *homeDir) make(path string, s *directoryState) error {
	parent, name := tree.Split(path)
	if i, err := h.Root.Lstat(path); err == nil && i.IsDir() {
		s.before = &i
		return h.Root.Own(path) // a kill may have come before it was given to the agent
	}
	dir, err := h.open(parent)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = dir.Mkdir(name)
	if errors.Is(err, fs.ErrExist) {
		if err = h.clearWay(path); err == nil {
			err = dir.Mkdir(name)
		}
		if i, e := dir.Lstat(name); errors.Is(err, fs.ErrExist) && e == nil && i.IsDir() {
			s.before = &i
			return h.Root.Own(path)
		}
	}
	if err != nil && tree.IsRefused(err) {
		return &fetch.Refused{Key: path + "/", Reason: fmt.Sprintf("the directory %q cannot be made: %v", path, errno(err)), Err: err}
	}
	s.made = err == nil
	return h.onDisk(err)
}

// errno is an error without the path that it is about.
func errno(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// widen makes sure that we may write into a directory that is here. Root may anyway.
func (h *homeDir) widen(path string) error {
	if path == "" || os.Geteuid() == 0 {
		return nil
	}
	s := h.directory(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before == nil {
		i, err := h.Root.Lstat(path)
		if err != nil {
			return err
		}
		s.before = &i
	}
	return h.widenLocked(path, s)
}

const mayWrite = 0o300 // -wx for the owner

func (h *homeDir) widenLocked(path string, s *directoryState) error {
	if os.Geteuid() == 0 || s.widened || s.before == nil || s.before.Mode&mayWrite == mayWrite {
		return nil
	}
	s.widened = true
	return h.Root.Chmod(path, s.before.Mode|mayWrite)
}

// mark says what S3 has for a directory. It is applied by finish.
func (h *homeDir) mark(key, path string, o objectstore.Object, attr posixattr.Attr) error {
	threads.Disk.Enter()
	err := h.ensure(path, false)
	threads.Disk.Leave()
	if err != nil {
		return err
	}
	s := h.directory(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marker = &marker{object: o, key: key, attr: attr}
	return nil
}

// finish gives the directories their attributes, children before parents.
func (h *homeDir) finish() error {
	for _, path := range h.deepestFirst() {
		s := h.dirs[path]
		if s.err != nil || !s.made && s.before == nil {
			continue
		}
		if err := h.finishOne(path, s); err != nil && !isAbsent(err) {
			return h.onDisk(err)
		}
	}
	return nil
}

func (h *homeDir) finishOne(path string, s *directoryState) error {
	switch {
	case s.marker != nil:
		m := s.marker
		if err := h.Root.SetAttr(path, tree.Attr{Mode: m.attr.Mode, Mtime: m.attr.Mtime}); err != nil {
			return err
		}
		i, err := h.Root.Lstat(path)
		if err != nil {
			return err
		}
		return h.record(fetch.Entry(&m.object, m.key, path, m.attr, [32]byte{}, i))
	case s.before != nil && (s.written || s.widened):
		// What we put into it is no change of the directory itself.
		if err := h.Root.SetAttr(path, tree.Attr{Mode: s.before.Mode, Mtime: s.before.Mtime}); err != nil {
			return err
		}
		i, err := h.Root.Lstat(path)
		if err != nil {
			return err
		}
		return h.Journal.Touch(path, i.Stat)
	}
	return nil
}

// record journals what was written.
func (h *homeDir) record(e journal.Entry) error {
	if err := h.Journal.Put(e); err != nil {
		return err
	}
	for newest := h.newest.Load(); e.Local.Ctime > newest && !h.newest.CompareAndSwap(newest, e.Local.Ctime); newest = h.newest.Load() {
	}
	return nil
}

// restore takes back the modes that were widened, for a hydrate that failed.
func (h *homeDir) restore() {
	for _, path := range h.deepestFirst() {
		if s := h.dirs[path]; s.widened {
			if err := h.Root.Chmod(path, s.before.Mode); err != nil && !isAbsent(err) {
				h.Log.Warn("the mode of a directory could not be put back", "event", "mode_not_restored", "path", path, "error", err)
			}
		}
	}
}

func (h *homeDir) deepestFirst() []string {
	paths := make([]string, 0, len(h.dirs))
	for p := range h.dirs {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	slices.Reverse(paths)
	return paths
}
