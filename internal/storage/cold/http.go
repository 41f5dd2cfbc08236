package cold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// Handler serves the control socket's paths below contract.ControlColdPrefix. Whoever may open the
// socket may do with the cold path what its mount would let the agent do, and no more: paths
// stay below the root, and nothing follows a symbolic link.
func (fs *FS) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+contract.ControlColdListPath, fs.serveList)
	mux.HandleFunc("GET "+contract.ControlColdKeysPath, fs.serveKeys)
	mux.HandleFunc("GET "+contract.ControlColdFilePath, fs.serveGet)
	mux.HandleFunc("PUT "+contract.ControlColdFilePath, fs.servePut)
	mux.HandleFunc("DELETE "+contract.ControlColdFilePath, fs.serveDelete)
	mux.HandleFunc("POST "+contract.ControlColdSyncPath, fs.serveSync)
	return mux
}

// stallFor is how long a client may take no bytes before it is given up.
const stallFor = 30 * time.Second

func keepAlive(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stallFor))
}

// refuse answers with an error in words, and with the status that says whose it is.
func refuse(w http.ResponseWriter, what, path string, err error) {
	status := http.StatusInternalServerError
	switch Errno(err) {
	case syscall.ENOENT:
		status = http.StatusNotFound
	case syscall.EISDIR, syscall.ENOTDIR, syscall.ENOTEMPTY, syscall.EEXIST, syscall.EINVAL, syscall.ENAMETOOLONG, syscall.ELOOP:
		status = http.StatusBadRequest
	}
	if errors.Is(err, objectstore.ErrNotFound) {
		status = http.StatusNotFound
	}
	if errors.Is(err, errKept) {
		status = http.StatusBadGateway
	}
	keepAlive(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(contract.ControlError{Error: fmt.Sprintf("cannot %s %q: %v", what, path, err)})
}

// find walks to a path of the query. It does not follow links.
func (fs *FS) find(ctx context.Context, path string) (*node, error) {
	n := fs.root
	for c := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if c == "" {
			continue
		}
		if c == "." || c == ".." || len(c) > MaxName {
			return nil, syscall.EINVAL
		}
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		next, err := fs.resolve(ctx, n, c)
		if err != nil {
			return nil, err
		}
		n = next
	}
	return n, nil
}

// describe is an entry as the control socket shows it. With mu.
func (fs *FS) describe(n *node) contract.ColdEntry {
	e := contract.ColdEntry{
		Path: shown(n.path()), Kind: "file", Size: n.size,
		Mode: fmt.Sprintf("%04o", n.mode), Mtime: time.Unix(0, n.mtime).UTC(),
		Target: n.target, Pending: fs.dirtyKeys[n.objectPathOrEmpty()] != nil,
	}
	if path := n.path(); !utf8.ValidString(path) {
		e.RawPath = []byte(path)
	}
	if !utf8.ValidString(n.target) {
		e.RawTarget = []byte(n.target)
	}
	switch n.kind {
	case pending.Dir:
		e.Kind = "dir"
	case pending.Symlink:
		e.Kind = "symlink"
	}
	return e
}

// shown is a path in JSON, which is UTF-8.
func shown(path string) string {
	if !utf8.ValidString(path) {
		if key, err := keyOf(path); err == nil {
			return key
		}
	}
	return path
}

func (fs *FS) serveList(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Query().Get("path")
	n, err := fs.find(r.Context(), path)
	if err == nil && n.isDir() {
		if r.URL.Query().Get("recursive") != "" {
			err = fs.loadTree(r.Context(), n, fs.since())
		} else {
			err = fs.load(r.Context(), n, fs.since())
		}
	}
	if err == nil && r.URL.Query().Get("attributes") == "dirs" {
		err = fs.knowDirs(r.Context(), n)
	}
	if err != nil {
		refuse(w, "list", path, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for _, e := range fs.entries(n, r.URL.Query().Get("recursive") != "") {
		keepAlive(w)
		if enc.Encode(e) != nil {
			return
		}
	}
	_ = enc.Encode(contract.ColdEntry{End: true})
}

// knowDirs asks for the modes of the directories below a directory, as far as they have objects and
// nobody has told them yet. A file's come with its content.
func (fs *FS) knowDirs(ctx context.Context, top *node) error {
	var dirs []*node
	var collect func(n *node)
	collect = func(n *node) {
		if !n.isDir() {
			return
		}
		if n.remote.ETag != "" && !n.modeKnown {
			dirs = append(dirs, n)
		}
		for _, c := range n.dir.children {
			collect(c)
		}
	}
	fs.mu.Lock()
	collect(top)
	fs.mu.Unlock()
	errs := make([]error, len(dirs))
	var wg sync.WaitGroup
	places := make(chan struct{}, jobs)
	for i, n := range dirs {
		places <- struct{}{}
		wg.Go(func() {
			errs[i] = fs.fetchAttrs(ctx, n)
			<-places
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// entries describes a file, or what is in a directory.
func (fs *FS) entries(n *node, recursive bool) []contract.ColdEntry {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !n.isDir() {
		return []contract.ColdEntry{fs.describe(n)}
	}
	var all []contract.ColdEntry
	var read func(d *node)
	read = func(d *node) {
		f := Dir{node: d}
		f.readLocked()
		for _, c := range f.entries {
			all = append(all, fs.describe(c))
			if recursive && c.isDir() {
				read(c)
			}
		}
	}
	read(n)
	return all
}

func (fs *FS) serveKeys(w http.ResponseWriter, r *http.Request) {
	prefix := r.URL.Query().Get("prefix")
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	n := 0
	for e, err := range fs.store.List(r.Context(), objectstore.ListOptions{Prefix: fs.prefix + prefix}) {
		if err != nil {
			if n == 0 {
				refuse(w, "list the keys below", prefix, err)
			}
			return
		}
		key := e.Key[len(fs.prefix):]
		n++
		keepAlive(w)
		if enc.Encode(contract.ColdKey{Key: key, Size: e.Size, Modified: e.LastModified, Hidden: whyHidden(key)}) != nil {
			return
		}
	}
	_ = enc.Encode(contract.ColdKey{End: true})
}

// whyHidden says why a key cannot be a file by itself; it may still be hidden by a directory
// of the same name.
func whyHidden(key string) string {
	for c := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
		if _, ok := nameOf(c); !ok {
			return fmt.Sprintf("%q cannot be the name of a file", c)
		}
	}
	return ""
}

func (fs *FS) serveSync(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Query().Get("path"), "/")
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	done := make(chan []contract.Unsaved, 1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { done <- fs.syncBelow(ctx, path) }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		var unsaved []contract.Unsaved
		p := contract.ColdProgress{}
		select {
		case unsaved = <-done:
			p.Done = true
		case <-tick.C:
		}
		st := fs.Status()
		p.PendingFiles, p.PendingBytes = st.PendingFiles, st.PendingBytes
		p.UnsavedCount, p.Unsaved = int64(len(unsaved)), unsaved[:min(len(unsaved), failedMost)]
		keepAlive(w)
		if enc.Encode(p) != nil || p.Done {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

// syncBelow is Flush for what is at or below a path; one that ends in "/" is a directory's marker
// alone.
func (fs *FS) syncBelow(ctx context.Context, path string) []contract.Unsaved {
	fs.mu.Lock()
	fs.hurryUp(1)
	fs.retryNow()
	until := fs.seq
	fs.mu.Unlock()
	defer func() {
		fs.mu.Lock()
		fs.hurryUp(-1)
		fs.mu.Unlock()
	}()
	return fs.await(ctx, func(s *dirtyKey) bool {
		return s.first <= until && (path == "" || s.path == path || !strings.HasSuffix(path, "/") && strings.HasPrefix(s.path, path+"/"))
	})
}

func (fs *FS) serveDelete(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if key := q.Get("key"); key != "" {
		fs.deleteKey(w, r, key)
		return
	}
	path := strings.Trim(q.Get("path"), "/")
	n, err := fs.find(r.Context(), path)
	if err == nil && n == fs.root {
		err = syscall.EINVAL
	}
	if err == nil {
		err = fs.removeTree(r.Context(), n, q.Get("recursive") != "")
	}
	if err != nil {
		refuse(w, "remove", path, err)
		return
	}
	unsaved := fs.syncBelow(r.Context(), path)
	fs.answerStored(w, path, unsaved, func() any { return contract.ColdProgress{Done: true} })
}

// deleteKey removes an object that need not be a file: what the tree cannot show.
func (fs *FS) deleteKey(w http.ResponseWriter, r *http.Request, key string) {
	err := func() error {
		o, err := fs.store.Head(r.Context(), fs.prefix+key)
		if err != nil {
			return err
		}
		ctx, release, err := fs.fence.Write(r.Context())
		if err != nil {
			return err
		}
		defer release()
		return fs.store.Delete(ctx, fs.prefix+key, objectstore.Condition{IfMatch: o.ETag})
	}()
	if err != nil {
		refuse(w, "remove the key", key, err)
		return
	}
	fs.mu.Lock()
	fs.expire(fs.parentOf(key))
	fs.mu.Unlock()
	fs.answerStored(w, key, nil, func() any { return contract.ColdProgress{Done: true} })
}

// removeTree removes a file, or a directory with all that is in it.
func (fs *FS) removeTree(ctx context.Context, n *node, recursive bool) error {
	if n.isDir() {
		if err := fs.load(ctx, n, fs.since()); err != nil {
			return err
		}
		fs.mu.Lock()
		f := Dir{node: n}
		f.readLocked()
		fs.mu.Unlock()
		if len(f.entries) > 0 && !recursive {
			return syscall.ENOTEMPTY
		}
		for _, c := range f.entries {
			if err := fs.removeTree(ctx, c, true); err != nil {
				return err
			}
		}
	}
	fs.mu.Lock()
	parent, name := n.parent, n.name
	fs.mu.Unlock()
	if parent == nil {
		return nil // somebody else was faster
	}
	remove := fs.unlink
	if n.isDir() {
		remove = fs.rmdir
	}
	if err := remove(ctx, parent, name); err != nil && err != syscall.ENOENT {
		return err
	}
	fs.mu.Lock()
	fs.notifyEntry(parent, name)
	fs.mu.Unlock()
	return nil
}

// errKept is what was taken and is not in S3 yet: nothing is lost, but it is not stored.
var errKept = errors.New("it stays pending, and is tried again")

// answerStored answers when what was done is in S3, and with an error when it is not.
func (fs *FS) answerStored(w http.ResponseWriter, path string, unsaved []contract.Unsaved, body func() any) {
	if len(unsaved) > 0 {
		refuse(w, "bring to S3", path, fmt.Errorf("%s; %w", unsaved[0].Reason, errKept))
		return
	}
	keepAlive(w)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body())
}

// number reads a number of the query; what is not there is the default.
func number(q string, base int, otherwise int64) (int64, error) {
	if q == "" {
		return otherwise, nil
	}
	return strconv.ParseInt(q, base, 64)
}
