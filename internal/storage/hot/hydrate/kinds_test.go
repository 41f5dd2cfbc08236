package hydrate

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/testbed"
)

// Between a file and a directory of one name, on either side.
func TestFilesAndDirectories(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(*home)
		then  func(*home)
		want  map[string]string
		aside bool
		stays string
	}{
		{name: "a directory became a file in S3",
			first: func(h *home) { h.put("a/x", "x"); h.put("a/sub/y", "y") },
			then:  func(h *home) { h.bucket.Delete(h.key("a/x")); h.bucket.Delete(h.key("a/sub/y")); h.put("a", "file") },
			want:  map[string]string{"a": "file"}},
		{name: "a file became a directory in S3",
			first: func(h *home) { h.put("a", "file") },
			then:  func(h *home) { h.bucket.Delete(h.key("a")); h.put("a/x", "x") },
			want:  map[string]string{"a/x": "x"}},
		{name: "a link became a directory in S3",
			first: func(h *home) {
				h.bucket.Put(h.key("a"), "/etc", posixattr.Encode(posixattr.Attr{Mode: 0o120777}, ""))
			},
			then: func(h *home) { h.bucket.Delete(h.key("a")); h.put("a/x", "x") },
			want: map[string]string{"a/x": "x"}},
		{name: "a file is in the way of a directory from S3",
			then: func(h *home) { h.write("a", "mine"); h.put("a/x", "x") },
			want: map[string]string{"a/x": "x"}, aside: true},
		{name: "a link out of the home is in the way of a directory from S3",
			then: func(h *home) { must(h.t, os.Symlink(h.state, h.at("a"))); h.put("a/x", "x") },
			want: map[string]string{"a/x": "x"}, aside: true},
		{name: "a directory with files is in the way of a file from S3",
			then: func(h *home) { h.write("a/mine", "mine"); h.put("a", "file") },
			want: map[string]string{"a": "file"}, aside: true},
		{name: "an empty directory is in the way of a file from S3",
			then: func(h *home) { must(h.t, os.Mkdir(h.at("a"), 0o755)); h.put("a", "file") },
			want: map[string]string{"a": "file"}},
		{name: "a file that is gone from S3 is an empty directory here",
			first: func(h *home) { h.put("a", "file"); h.put("b", "b") },
			then: func(h *home) {
				h.bucket.Delete(h.key("a"))
				must(h.t, os.Remove(h.at("a")))
				must(h.t, os.MkdirAll(h.at("a"), 0o755))
			},
			want: map[string]string{"b": "b"}, stays: "a"},
		{name: "a directory became a file in S3 and has something of ours",
			first: func(h *home) { h.put("a/x", "x") },
			then:  func(h *home) { h.write("a/mine", "mine"); h.bucket.Delete(h.key("a/x")); h.put("a", "file") },
			want:  map[string]string{"a": "file"}, aside: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			if c.first != nil {
				c.first(h)
			}
			h.hydrate()
			c.then(h)
			r := h.hydrate()
			for p, content := range c.want {
				h.want(p, content)
			}
			if aside := len(r.Conflicts) == 1; aside != c.aside || len(r.Conflicts) > 1 {
				t.Errorf("conflicts %q", r.Conflicts)
			}
			if c.aside {
				if _, err := os.Lstat(h.at(r.Conflicts[0])); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Lstat(h.at(c.stays)); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(h.state + "/x"); err == nil {
				t.Error("it was written through the link")
			}
			if r := h.hydrate(); r.Files+r.Removed != 0 || len(r.Conflicts) != 0 {
				t.Errorf("another start is not quiet: %+v", r)
			}
		})
	}
}

// Directories: markers are made, changed, removed; what is left empty by a removal goes,
// and what others left empty stays.
func TestDirectories(t *testing.T) {
	h := newHome(t)
	mark := func(path string, mode uint32) {
		h.bucket.Put(h.key(path+"/"), "", posixattr.Encode(posixattr.Attr{Mode: 0o040000 | mode, Mtime: 1_600_000_000_123_456_789}, ""))
	}
	mark("marked", 0o700)
	mark("full", 0o511)
	h.put("full/f", "f")
	mark("goes", 0o755)
	h.put("implied/deep/only", "only")
	h.put("stays/f", "f")
	h.hydrate()
	check := func(path string, perm os.FileMode) {
		t.Helper()
		i, err := os.Lstat(h.at(path))
		must(t, err)
		if i.Mode().Perm() != perm || !i.ModTime().Equal(time.Unix(0, 1_600_000_000_123_456_789)) {
			t.Errorf("%s has %v, %v", path, i.Mode(), i.ModTime().UnixNano())
		}
	}
	check("marked", 0o700)
	check("full", 0o511)

	h.nextSecond()
	must(t, os.Mkdir(h.at("mine"), 0o755))
	h.bucket.Delete(h.key("marked/")) // the embedded server keeps a marker's Last-Modified when it is overwritten
	mark("marked", 0o750)
	h.bucket.Delete(h.key("goes/"))
	h.bucket.Delete(h.key("implied/deep/only"))
	h.bucket.Delete(h.key("stays/f"))
	h.write("stays/mine", "mine")
	h.put("full/g", "g")
	h.hydrate()
	check("marked", 0o750)
	check("full", 0o511) // a file came into it: its time is still S3's
	h.want("full/g", "g")
	h.want("stays/mine", "mine")
	got := slices.Sorted(func(yield func(string) bool) {
		for p := range testbed.Scan(t, h.path) {
			if !yield(p) {
				return
			}
		}
	})
	if want := []string{"full", "full/f", "full/g", "marked", "mine", "stays", "stays/mine"}; !slices.Equal(got, want) {
		t.Errorf("the home has %q, want %q", got, want)
	}
	o := h.open()
	defer o.close()
	for _, p := range []string{"goes", "implied/deep/only", "stays/f"} {
		if _, ok := o.journal.Get(p); ok {
			t.Errorf("the journal still has %q", p)
		}
	}
}

// A file that took a marked directory's place while no process watched stays; but where something of the directory
// comes back, the directory does, with its attributes.
func TestFileInAMarkedDirectorysPlace(t *testing.T) {
	h := newHome(t)
	for _, path := range []string{"empty", "filled"} {
		h.bucket.Put(h.key(path+"/"), "", posixattr.Encode(posixattr.Attr{Mode: 0o040700, Mtime: 1_600_000_000_123_456_789}, ""))
	}
	h.put("filled/f", "f")
	h.hydrate()
	must(t, os.Remove(h.at("empty")))
	must(t, os.RemoveAll(h.at("filled")))
	h.write("empty", "mine")
	h.write("filled", "mine")
	r := h.hydrate()
	if len(r.Conflicts) != 1 || !strings.HasPrefix(r.Conflicts[0], "filled.conflict-") {
		t.Errorf("conflicts %q", r.Conflicts)
	}
	h.want("empty", "mine")
	h.want("filled/f", "f")
	if i, err := os.Lstat(h.at("filled")); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("the directory has %v, %v", i.Mode(), err)
	}
	o := h.open()
	defer o.close()
	if e, ok := o.journal.Get("filled"); !ok || e.Mode != 0o040700 {
		t.Errorf("the journal has %+v of the directory", e)
	}
}
