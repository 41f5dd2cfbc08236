package hot

import "github.com/matrx/sandbox/internal/storage/hot/tree"

// reasons are why paths cannot be saved that have no change of their own: sockets and the like, and directories that cannot be
// read. Of a removal it is known at once whether any of them lies below, however many there are.
type reasons struct {
	why   map[string]string
	below map[string]int // by directory: how many are below it
}

func newReasons() reasons { return reasons{why: map[string]string{}, below: map[string]int{}} }

// set notes a path, and tells whether that is news.
func (r reasons) set(path, why string) bool {
	_, known := r.why[path]
	if !known {
		r.count(path, 1)
	}
	r.why[path] = why
	return !known
}

func (r reasons) drop(path string) {
	if _, known := r.why[path]; known {
		delete(r.why, path)
		r.count(path, -1)
	}
}

// dropAll drops a path and all below it.
func (r reasons) dropAll(path string) {
	r.drop(path)
	if r.below[path] == 0 {
		return
	}
	for other := range r.why {
		if isBelow(other, path) {
			r.drop(other)
		}
	}
}

func (r reasons) count(path string, by int) {
	for dir, _ := tree.Split(path); dir != ""; dir, _ = tree.Split(dir) {
		if r.below[dir] += by; r.below[dir] == 0 {
			delete(r.below, dir)
		}
	}
}
