package watch

import "strings"

// Dirs knows which directory of the home each watch stands for. It is a tree, so that
// the rename of a directory moves all below it at once. Not safe for concurrent use.
type Dirs struct {
	root *Dir
	byWD map[WD]*Dir
}

// Dir is a directory of the home.
type Dir struct {
	parent *Dir
	name   string
	kids   map[string]*Dir
	wd     WD // 0: not watched
	gone   bool
}

// NewDirs knows the root alone, not watched yet.
func NewDirs() *Dirs {
	return &Dirs{root: &Dir{}, byWD: map[WD]*Dir{}}
}

// Root is the home itself.
func (t *Dirs) Root() *Dir { return t.root }

// Len is the number of watches.
func (t *Dirs) Len() int { return len(t.byWD) }

// ByWD is the directory of a watch, nil when it is not known any more.
func (t *Dirs) ByWD(wd WD) *Dir { return t.byWD[wd] }

// Path is where d is, "" for the root.
func (d *Dir) Path() string {
	if d.parent == nil {
		return ""
	}
	var parts []string
	for ; d.parent != nil; d = d.parent {
		parts = append(parts, d.name)
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, "/")
}

// Child is the directory called name in d, nil when there is none.
func (d *Dir) Child(name string) *Dir { return d.kids[name] }

// Watched tells whether d has a watch.
func (d *Dir) Watched() bool { return d.wd != 0 }

// Gone tells whether d was cut out of the tree.
func (d *Dir) Gone() bool {
	for ; d != nil; d = d.parent {
		if d.gone {
			return true
		}
	}
	return false
}

// Find is the directory at path, nil when it is not known.
func (t *Dirs) Find(path string) *Dir {
	d := t.root
	for path != "" && d != nil {
		var name string
		name, path, _ = strings.Cut(path, "/")
		d = d.kids[name]
	}
	return d
}

// Enter puts a directory into parent, one that is known as it is.
func (t *Dirs) Enter(parent *Dir, name string) *Dir {
	if d := parent.kids[name]; d != nil {
		return d
	}
	d := &Dir{parent: parent, name: strings.Clone(name)}
	if parent.kids == nil {
		parent.kids = map[string]*Dir{}
	}
	parent.kids[d.name] = d
	return d
}

// Watch says that wd stands for d. A watch follows its directory: when wd stood for
// another one, that is where the directory was before, and it has none any more.
func (t *Dirs) Watch(d *Dir, wd WD) {
	if old := t.byWD[wd]; old != nil && old != d {
		old.wd = 0
	}
	if d.wd != 0 && d.wd != wd {
		delete(t.byWD, d.wd)
	}
	d.wd = wd
	t.byWD[wd] = d
}

// Unwatch says that wd is no more.
func (t *Dirs) Unwatch(wd WD) {
	if d := t.byWD[wd]; d != nil {
		d.wd = 0
		delete(t.byWD, wd)
	}
}

// Cut takes d and all below it out of the tree. What is watched there stays known by its
// watch, so that a rename can bring it in elsewhere; Drop ends that.
func (t *Dirs) Cut(d *Dir) {
	if d.parent != nil && d.parent.kids[d.name] == d {
		delete(d.parent.kids, d.name)
	}
	d.gone = true
}

// Drop forgets the watches of a directory that was cut out, and returns them.
func (t *Dirs) Drop(d *Dir) []WD {
	var wds []WD
	todo := []*Dir{d}
	for len(todo) > 0 {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if d.wd != 0 {
			wds = append(wds, d.wd)
			delete(t.byWD, d.wd)
			d.wd = 0
		}
		for _, k := range d.kids {
			todo = append(todo, k)
		}
	}
	return wds
}

// Kids yields the directories in d.
func (d *Dir) Kids(yield func(name string, kid *Dir) bool) {
	for name, kid := range d.kids {
		if !yield(name, kid) {
			return
		}
	}
}
