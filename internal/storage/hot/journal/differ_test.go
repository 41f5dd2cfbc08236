package journal

import (
	"slices"
	"testing"
)

func TestDiffer(t *testing.T) {
	j := mustOpen(t, t.TempDir(), home)
	defer j.Close()
	st := Stat{Size: 1, Mtime: 2, Ctime: 3, Ino: 4}
	other := st
	other.Ctime++
	for _, e := range []Entry{
		{Path: "d/same", Key: "d/same", Local: st}, {Path: "d/changed", Key: "d/changed", Local: st},
		{Path: "d/gone", Key: "d/gone", Local: st}, {Path: "d/sub", Key: "d/sub/", Local: st},
		{Path: "d/nowdir", Key: "d/nowdir", Local: st}, {Path: "d/nowfile", Key: "d/nowfile/", Local: st},
		{Path: "d/odd\x01", Key: "d/odd%01/", Local: st}, {Path: "d/below/x", Key: "d/below/x", Local: st},
	} {
		if err := j.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	seen := []Seen{
		{Name: "same", Stat: st, Dir: false}, {Name: "changed", Stat: other, Dir: false}, {Name: "sub", Stat: other, Dir: true}, {Name: "new", Stat: st, Dir: false},
		{Name: "nowdir", Stat: st, Dir: true}, {Name: "nowfile", Stat: st, Dir: false}, {Name: "odd\x01", Stat: other, Dir: true}, {Name: "below", Stat: st, Dir: true}, {Name: "newdir", Stat: st, Dir: true},
	}
	changed, absent := j.Differ("d", seen)
	slices.Sort(absent)
	if !slices.Equal(changed, []int{1, 3, 5}) || !slices.Equal(absent, []string{"gone", "nowdir", "nowfile"}) {
		t.Errorf("changed %v, absent %q", changed, absent)
	}
	if changed, absent := j.Differ("nowhere", seen[:1]); !slices.Equal(changed, []int{0}) || absent != nil {
		t.Errorf("a directory without entries: changed %v, absent %q", changed, absent)
	}
	if got := j.Dirs("d"); !slices.Equal(got, []string{"below"}) {
		t.Errorf("directories %q", got)
	}
	same := []Seen{{Name: "x", Stat: st, Dir: false}}
	if n := testing.AllocsPerRun(10, func() { j.Differ("d/below", same) }); n != 0 {
		t.Errorf("%v allocations for a directory that is as it was", n)
	}
}

func TestRefresh(t *testing.T) {
	j := mustOpen(t, t.TempDir(), home)
	defer j.Close()
	j.Put(Entry{Path: "a", Key: "a", ETag: "one"})
	j.Refresh("a", "other", Stat{Size: 1})
	if e, _ := j.Get("a"); e.Local != (Stat{}) {
		t.Error("the stat of another version was taken")
	}
	j.Refresh("a", "one", Stat{Size: 1})
	if e, _ := j.Get("a"); e.Local != (Stat{Size: 1}) {
		t.Error("the stat was not taken")
	}
}
