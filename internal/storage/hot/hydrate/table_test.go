package hydrate

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/testbed"
)

// Each row of the table in the design (Hydrate, 4), from a start that hydrated "f" to the
// next one, with what happened to it between the two.
func TestTable(t *testing.T) {
	const path = "dir/f"
	for _, row := range []struct {
		name     string
		journal  bool // the first start knew it
		disk, s3 func(*home)
		gone     bool // its deletion was journalled while running

		want     string // the file's content afterwards, "" for none
		conflict string // the conflict copy's
		fetched  int64
		known    bool // the journal has it, as S3 does
	}{
		{name: "has it, unchanged, same version: nothing", journal: true,
			want: "v1", known: true},
		{name: "has it, changed, same version: kept", journal: true, disk: changed,
			want: "local", known: true},
		{name: "has it, unchanged, other version: fetched", journal: true, s3: other,
			want: "theirs", fetched: 1, known: true},
		{name: "has it, changed, other version: conflict", journal: true, disk: changed, s3: other,
			want: "theirs", conflict: "local", fetched: 1, known: true},
		{name: "has it, changed, other version of equal content: adopted", journal: true, disk: func(h *home) { h.write(path, "theirs") }, s3: other,
			want: "theirs", known: true},
		{name: "has it, not there, there: fetched", journal: true, disk: removed,
			want: "v1", fetched: 1, known: true},
		{name: "has it, not there and journalled as deleted, same version: stays away", journal: true, disk: removed, gone: true,
			want: "", known: true},
		{name: "has it, not there and journalled as deleted, other version: fetched", journal: true, disk: removed, gone: true, s3: other,
			want: "theirs", fetched: 1, known: true},
		{name: "has it, unchanged, gone: removed", journal: true, s3: deleted,
			want: ""},
		{name: "has it, changed, gone: kept", journal: true, disk: changed, s3: deleted,
			want: "local"},
		{name: "has it, not there, gone: forgotten", journal: true, disk: removed, s3: deleted,
			want: ""},
		{name: "no, there, not there: kept", disk: changed,
			want: "local"},
		{name: "no, there, there and equal: adopted", disk: func(h *home) { h.write(path, "theirs") }, s3: other,
			want: "theirs", known: true},
		{name: "no, there, there: conflict", disk: changed, s3: other,
			want: "theirs", conflict: "local", fetched: 1, known: true},
		{name: "no, there, there with equal sizes: conflict", disk: func(h *home) { h.write(path, "OURS!!") }, s3: other,
			want: "theirs", conflict: "OURS!!", fetched: 1, known: true},
		{name: "no, not there, there: fetched", s3: other,
			want: "theirs", fetched: 1, known: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			h.put("anchor", "anchor") // so that the home and S3 are never empty
			if row.journal {
				h.put(path, "v1")
			}
			h.hydrate()
			if row.disk != nil {
				row.disk(h)
			}
			if row.s3 != nil {
				row.s3(h)
			}
			if row.gone {
				o := h.open()
				must(t, o.journal.Gone(path))
				o.close()
			}
			r := h.hydrate()
			h.want(path, row.want)
			h.wantConflict(path, row.conflict)
			if r.Files != row.fetched {
				t.Errorf("%d files were fetched, want %d", r.Files, row.fetched)
			}
			h.wantJournal(path, row.known, row.gone && row.want == "")
			// And once more: what was settled stays settled.
			if r := h.hydrate(); r.Files != 0 || r.Removed != 0 || len(r.Conflicts) != 0 {
				t.Errorf("another start is not quiet: %+v", r)
			}
			h.want(path, row.want)
		})
	}
}

func changed(h *home) { h.write("dir/f", "local") }
func removed(h *home) { must(h.t, os.Remove(h.at("dir/f"))) }
func other(h *home)   { h.put("dir/f", "theirs") }
func deleted(h *home) { h.bucket.Delete(h.key("dir/f")) }

// wantJournal fails the test unless the journal has, or has not, what S3 has of path,
// and its deletion is, or is not, to be sent.
func (h *home) wantJournal(path string, known, gone bool) {
	h.t.Helper()
	o := h.open()
	defer o.close()
	e, ok := o.journal.Get(path)
	if ok != known {
		h.t.Errorf("the journal knows %q: %v, want %v", path, ok, known)
	}
	if stored, there := h.bucket.Get(h.key(path)); ok && (!there || stored.ETag != e.ETag || int64(len(stored.Body)) != e.Size) {
		h.t.Errorf("the journal has %+v of %q, S3 has %q", e, path, stored.ETag)
	}
	if got := o.journal.IsGone(path); got != gone {
		h.t.Errorf("the deletion of %q is to be sent: %v, want %v", path, got, gone)
	}
}

// What the journal notes of a file that was changed here still says that it was.
func TestChangedStaysChanged(t *testing.T) {
	h := newHome(t)
	h.put("f", "v1")
	h.hydrate()
	h.write("f", "local")
	h.hydrate()
	o := h.open()
	defer o.close()
	e, _ := o.journal.Get("f")
	if i, err := o.root.Lstat("f"); err != nil || i.Stat == e.Local {
		t.Errorf("the change does not show any more: %+v, %v", i, err)
	}
}

// After the host went down the stat proves nothing: what a crash leaves of a file looks
// like the file.
func TestRebooted(t *testing.T) {
	for _, c := range []struct {
		name     string
		disk, s3 func(*home)
		want     string
		conflict string
	}{
		{name: "unchanged", want: "v1"},
		{name: "torn", want: "v1", conflict: "\x00\x00", disk: func(h *home) { h.torn("dir/f", "\x00\x00") }},
		{name: "changed", want: "v1", conflict: "local", disk: changed},
		{name: "touched", want: "v1", disk: func(h *home) { h.write("dir/f", "v1") }},
		{name: "changed, gone", want: "local", disk: changed, s3: deleted},
		{name: "torn, other version", want: "theirs", disk: func(h *home) { h.torn("dir/f", "\x00\x00") }, s3: other},
		{name: "not there", want: "v1", disk: removed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			h.put("anchor", "anchor")
			h.put("dir/f", "v1")
			h.hydrate()
			if c.disk != nil {
				c.disk(h)
			}
			if c.s3 != nil {
				c.s3(h)
			}
			h.boot = "boot-2"
			h.hydrate()
			h.want("dir/f", c.want)
			h.wantConflict("dir/f", c.conflict)
			// From now on the journal is of this boot: the stat is good again.
			h.write("dir/f", "later")
			h.hydrate()
			h.want("dir/f", "later")
		})
	}
}

// torn changes a file's content under its stat, as a crash of the host does: here by
// telling the journal that the new stat is the one it knew.
func (h *home) torn(path, content string) {
	h.t.Helper()
	h.write(path, content)
	o := h.open()
	defer o.close()
	i, err := o.root.Lstat(path)
	must(h.t, err)
	must(h.t, o.journal.Touch(path, i.Stat))
}

// A write whose answer was lost is found to be our own: no conflict copy.
func TestOwnWrite(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrived string // the write id that S3 has
		disk    string
		want    string
		copies  string
		current bool // the journal takes the local file for what S3 has
		gone    bool
	}{
		{name: "the newest attempt", arrived: "base.2", disk: "ours", want: "ours", current: true},
		{name: "an earlier attempt", arrived: "base.1", disk: "ours", want: "ours"},
		{name: "changed again since", arrived: "base.2", disk: "newer", want: "newer"},
		{name: "somebody else's", arrived: "other.2", disk: "newer", want: "ours", copies: "newer", current: true},
		{name: "and deleted here since", arrived: "base.2", disk: "", want: "", gone: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			h.put("f", "v1")
			h.hydrate()
			h.write("f", "ours")
			o := h.open()
			i, err := o.root.Lstat("f")
			must(t, err)
			must(t, o.journal.Begin("f", journal.Intent{WriteID: "base.2", Key: "f", Size: 4, Mode: i.Mode, Mtime: i.Mtime, Local: i.Stat}))
			o.close()
			meta := posixattr.Encode(posixattr.Attr{Mode: i.Mode, Mtime: i.Mtime}, c.arrived)
			h.bucket.Put(h.key("f"), "ours", meta)
			switch c.disk {
			case "ours":
			case "":
				must(t, os.Remove(h.at("f")))
				o := h.open()
				must(t, o.journal.Gone("f"))
				o.close()
			default:
				h.write("f", c.disk)
			}
			h.hydrate()
			h.want("f", c.want)
			h.wantConflict("f", c.copies)
			h.wantJournal("f", true, c.gone)
			if c.want != "" {
				o := h.open()
				defer o.close()
				e, _ := o.journal.Get("f")
				now, err := o.root.Lstat("f")
				must(t, err)
				if current := e.Local == now.Stat; current != c.current {
					t.Errorf("the local file counts as what S3 has: %v, want %v", current, c.current)
				}
			}
		})
	}
}

// A write of ours that arrived with the content that was there already: its ETag says nothing,
// its Last-Modified shows that somebody wrote, and its id that it was us.
func TestOwnWriteOfTheSameContent(t *testing.T) {
	h := newHome(t)
	h.put("f", "v1")
	h.hydrate()
	o := h.open()
	i, err := o.root.Lstat("f")
	must(t, err)
	must(t, o.journal.Begin("f", journal.Intent{WriteID: "base.1", Key: "f", Size: 2, Mode: i.Mode, Mtime: i.Mtime + 1, Local: i.Stat}))
	o.close()
	h.nextSecond()
	h.bucket.Put(h.key("f"), "v1", posixattr.Encode(posixattr.Attr{Mode: i.Mode, Mtime: i.Mtime + 1}, "base.1"))
	h.write("f", "newer")
	h.hydrate()
	h.want("f", "newer")
	h.wantConflict("f", "")
	h.wantJournal("f", true, false)
}

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
