package hot

import "github.com/matrx/sandbox/internal/storage/hot/tree"

// keepMoved looks for files that are missing in the directories that are left out, where
// nothing is watched: one that was renamed to there keeps its object.
func (w *walker) keepMoved(paths []string) {
	if len(w.excluded) == 0 {
		return
	}
	want := map[uint64][]string{}
	for _, path := range paths {
		if known, ok := w.h.journal.Get(path); ok && !known.IsMarker() {
			want[known.Local.Ino] = append(want[known.Local.Ino], path)
		}
		for known := range w.h.journal.Below(path) {
			if !known.IsMarker() {
				want[known.Local.Ino] = append(want[known.Local.Ino], known.Path)
			}
		}
	}
	delete(want, 0)
	if len(want) == 0 {
		return
	}
	budget := mostSearched
	for dir := range w.excluded {
		w.search(dir, want, &budget)
	}
}

// mostSearched bounds a search. A cache can be larger than all the rest.
const mostSearched = 200_000

func (w *walker) search(path string, want map[uint64][]string, budget *int) {
	d, err := w.h.root.OpenDir(path)
	if err != nil {
		return
	}
	defer d.Close()
	var below []string
	for e, err := range d.Entries() {
		if *budget--; err != nil || *budget < 0 {
			return
		}
		if e.IsDir() {
			below = append(below, tree.Join(path, e.Name))
			continue
		}
		i, err := d.Lstat(e.Name)
		if err != nil {
			continue
		}
		for _, old := range want[i.Ino] {
			if known, ok := w.h.journal.Get(old); ok && i.SameContent(known.Local) {
				w.p.retain(old)
			}
		}
	}
	for _, b := range below {
		w.search(b, want, budget)
	}
}
