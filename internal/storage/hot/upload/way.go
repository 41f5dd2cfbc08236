package upload

import (
	"strings"
	"sync"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/queue"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// way keeps a file and the objects below its name from being in S3 both. The queue sees to that as
// far as it was told; a job reads the disk later, and may find a file where the queue has yet
// to hear that a directory was.
type way struct {
	mu    sync.Mutex
	names map[string]bool // that are being written
}

// enter begins a write of name, unless something else has to leave S3 first: what is being
// written, or, unless force, what the journal knows.
func (w *way) enter(name string, force bool, j *journal.Journal) (leave func(), blocker string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other := range w.names {
		if queue.Exclusive(name, other) {
			return nil, strings.TrimSuffix(other, "/")
		}
	}
	if !force {
		if blocker = known(name, j); blocker != "" {
			return nil, blocker
		}
	}
	w.names[name] = true
	return func() {
		w.mu.Lock()
		delete(w.names, name)
		w.mu.Unlock()
	}, ""
}

// known is what the journal says is in S3, at another path, and excludes name; "" when
// nothing does.
func known(name string, j *journal.Journal) string {
	path, isDir := strings.CutSuffix(name, "/")
	if !isDir {
		for e := range j.Below(path) {
			return e.Path
		}
	}
	for dir, _ := tree.Split(path); dir != ""; dir, _ = tree.Split(dir) {
		if e, ok := j.Get(dir); ok && !e.IsMarker() {
			return dir
		}
	}
	return ""
}
