package hydrate

import (
	"os"
	"testing"
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
		racy     bool // it was stored when it was too young for its stat to prove anything
		unseen   bool // and changed in that very moment

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
		{name: "has it, racy and unchanged, same version: nothing", journal: true, racy: true,
			want: "v1", known: true},
		{name: "has it, racy and unchanged, other version: fetched", journal: true, racy: true, s3: other,
			want: "theirs", fetched: 1, known: true},
		{name: "has it, racy and changed, other version: conflict", journal: true, racy: true, unseen: true, s3: other,
			want: "theirs", conflict: "v1", fetched: 1, known: true},
		{name: "has it, racy and seen to be changed, other version: conflict", journal: true, racy: true, disk: changed, s3: other,
			want: "theirs", conflict: "local", fetched: 1, known: true},
		{name: "has it, racy and unchanged, gone: removed", journal: true, racy: true, s3: deleted,
			want: ""},
		{name: "has it, racy and changed, gone: kept", journal: true, racy: true, unseen: true, s3: deleted,
			want: "v1"},
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
			if row.racy {
				h.makeRacy(path, row.unseen)
			}
			if row.disk != nil {
				row.disk(h)
			}
			if row.s3 != nil {
				row.s3(h)
			}
			if row.gone {
				o := h.open()
				must(t, o.journal.AddTombstone(path))
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

// makeRacy makes the journal's stat of a file prove nothing. unseen: the file is not what was
// stored, which its stat does not show.
func (h *home) makeRacy(path string, unseen bool) {
	h.t.Helper()
	o := h.open()
	defer o.close()
	e, _ := o.journal.Get(path)
	e.Local.Racy = true
	if unseen {
		e.SHA256 = [32]byte{1}
	}
	must(h.t, o.journal.Put(e))
}

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
	if got := o.journal.HasTombstone(path); got != gone {
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

// A file that was stored when it was too young for its stat to prove anything gives way to a
// directory in S3, unless its content was changed.
func TestRacyFileGivesWayToDirectory(t *testing.T) {
	for _, unseen := range []bool{false, true} {
		h := newHome(t)
		h.put("anchor", "anchor")
		h.put("f", "v1")
		h.hydrate()
		h.makeRacy("f", unseen)
		h.bucket.Delete(h.key("f"))
		h.put("f/below", "below")
		h.hydrate()
		h.want("f/below", "below")
		conflict := ""
		if unseen {
			conflict = "v1"
		}
		h.wantConflict("f", conflict)
	}
}
