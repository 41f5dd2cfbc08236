package hydrate

import (
	"os"
	"testing"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

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
				must(t, o.journal.AddTombstone("f"))
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
// its Last-Modified shows that a client wrote, and its id that it was us.
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
