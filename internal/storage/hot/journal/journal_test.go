package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var home = Identity{Bucket: "b", Prefix: "users/u/", FileSystem: 7, Ino: 11, Btime: 13, BootID: "one"}

func mustOpen(t interface{ Fatal(...any) }, dir string, id Identity) *Journal {
	j, err := Open(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// state is all that a journal knows, to compare two of them.
type state struct {
	Entries    map[string]Entry
	Gone       map[string]bool
	Intents    map[string]Intent
	Unresolved map[string]Intent
	Twins      map[string]Twin
	Hydrated   bool
	Seq        uint64
	Len        int
	Bytes      int64
}

func stateOf(j *Journal) state {
	s := state{Entries: map[string]Entry{}, Gone: map[string]bool{}, Intents: maps.Clone(j.intents), Unresolved: maps.Clone(j.unresolved), Twins: j.Twins().All(),
		Hydrated: j.Hydrated(), Seq: j.Seq(), Len: j.Len(), Bytes: j.Bytes()}
	for e := range j.All() {
		s.Entries[e.Path] = e
	}
	for _, p := range j.Tombstones() {
		s.Gone[p] = true
	}
	return s
}

func drawEntry(t *rapid.T) Entry {
	path := rapid.SampledFrom([]string{"a", "b", "d/a", "d/e/f", "d/e", "x/\xff\n%", "long/" + string(make([]byte, 200))}).Draw(t, "path")
	key := rapid.SampledFrom([]string{path, path + "/", "other"}).Draw(t, "key")
	etag := rapid.SampledFrom([]string{"", "d41d8cd98f00b204e9800998ecf8427e", "D41D8CD98F00B204E9800998ECF8427E",
		"d41d8cd98f00b204e9800998ecf8427e-12", "odd", "00000000000000000000000000000000", "d41d8cd98f00b204e9800998ecf8427g"}).Draw(t, "etag")
	e := Entry{Path: path, Key: key, ETag: etag, Size: rapid.Int64Range(0, 1<<40).Draw(t, "size"),
		Mode: rapid.Uint32().Draw(t, "mode"), Mtime: rapid.Int64().Draw(t, "mtime"), Modified: rapid.Int64().Draw(t, "modified"),
		Local: Stat{Size: 1, Mtime: rapid.Int64().Draw(t, "m"), Ctime: -5, Ino: rapid.Uint64().Draw(t, "ino"), Racy: rapid.Bool().Draw(t, "racy")}}
	e.SHA256[3] = rapid.Byte().Draw(t, "sha")
	return e
}

// Each change is in the log when its call returns: cut the log at any byte, and what
// is read is a state that the journal was in.
func TestCutAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		j := mustOpen(t, dir, home)
		file := filepath.Join(dir, fileName)
		type point struct {
			size  int64
			state state
		}
		size := func() int64 {
			st, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			return st.Size()
		}
		points := []point{{size(), stateOf(j)}}
		for range rapid.IntRange(1, 25).Draw(t, "changes") {
			e := drawEntry(t)
			var err error
			switch rapid.IntRange(0, 10).Draw(t, "op") {
			case 0, 1:
				err = j.Put(e)
			case 2:
				err = j.Touch(e.Path, e.Local)
			case 3:
				err = j.Forget(e.Path)
			case 4:
				err = j.AddTombstone(e.Path)
			case 5:
				err = j.DropTombstone(e.Path)
			case 6:
				err = j.Begin(e.Path, Intent{WriteID: "x.1", Key: e.Key, UploadID: e.ETag, Size: e.Size, Mtime: e.Mtime, Mode: e.Mode, SHA256: e.SHA256, Local: e.Local})
			case 7:
				// One change is one record: a listing that is cut off between two is listed again.
				twins := j.Twins().All()
				twins[e.Path] = Twin{Key: e.Key, ETag: e.ETag}
				err = j.Twins().Replace(twins)
			case 8:
				err = j.SetHydrated()
			case 9:
				err = j.Twins().Drop(e.Path)
			case 10:
				err = j.BeginDelete(e.Path, e.Key)
			}
			if err != nil {
				t.Fatal(err)
			}
			points = append(points, point{size(), stateOf(j)})
		}
		j.Close()
		at := rapid.Int64Range(points[0].size, points[len(points)-1].size).Draw(t, "cut")
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content := slices.Clone(whole[:at])
		if rapid.Bool().Draw(t, "garbage") {
			if int(at) < len(whole) { // it must not complete the record that was cut
				content = append(content, ^whole[at])
			}
			content = append(content, "\x05\x00\x00\x00garbage"...)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		want := points[0]
		for _, p := range points {
			if p.size <= at {
				want = p
			}
		}
		again := mustOpen(t, dir, home)
		defer again.Close()
		if again.Origin() != Continued {
			t.Fatalf("origin is %v", again.Origin())
		}
		if diff := cmp.Diff(want.state, stateOf(again)); diff != "" {
			t.Fatalf("cut at %d: -want +got\n%s", at, diff)
		}
		// The tail is cut, so that what is written next is read back.
		if err := again.Put(Entry{Path: "next", Key: "next"}); err != nil {
			t.Fatal(err)
		}
		after := stateOf(again)
		again.Close()
		third := mustOpen(t, dir, home)
		defer third.Close()
		if diff := cmp.Diff(after, stateOf(third)); diff != "" {
			t.Fatalf("after the cut: -want +got\n%s", diff)
		}
	})
}

func TestRewriteKeepsTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		j := mustOpen(t, dir, home)
		for range rapid.IntRange(0, 15).Draw(t, "changes") {
			e := drawEntry(t)
			j.Put(e)
			j.AddTombstone(drawEntry(t).Path)
			j.Begin(drawEntry(t).Path, Intent{WriteID: "w.2"})
			j.BeginDelete(drawEntry(t).Path, drawEntry(t).Key)
			j.Twins().put(drawEntry(t).Path, Twin{Key: e.Key, ETag: e.ETag})
		}
		want := stateOf(j)
		if err := j.rewrite(); err != nil {
			t.Fatal(err)
		}
		j.Close()
		again := mustOpen(t, dir, home)
		defer again.Close()
		if diff := cmp.Diff(want, stateOf(again)); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	})
}

func TestOrigin(t *testing.T) {
	other := func(change func(*Identity)) Identity {
		id := home
		change(&id)
		return id
	}
	for _, test := range []struct {
		name string
		id   Identity
		want Origin
		kept bool
	}{
		{"the same", home, Continued, true},
		{"another boot", other(func(id *Identity) { id.BootID = "two" }), Rebooted, true},
		{"another bucket", other(func(id *Identity) { id.Bucket = "c" }), Fresh, false},
		{"another prefix", other(func(id *Identity) { id.Prefix = "users/v/" }), Fresh, false},
		{"another file system", other(func(id *Identity) { id.FileSystem++ }), Fresh, false},
		{"another root", other(func(id *Identity) { id.Ino++ }), Fresh, false},
		{"a root made anew with the same inode", other(func(id *Identity) { id.Btime++ }), Fresh, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir, home)
			if j.Origin() != Fresh || j.Hydrated() {
				t.Fatalf("a new journal is %v, hydrated %v", j.Origin(), j.Hydrated())
			}
			j.Put(Entry{Path: "a", Key: "a", ETag: "e"})
			if err := j.SetHydrated(); err != nil {
				t.Fatal(err)
			}
			j.Close()
			j = mustOpen(t, dir, test.id)
			defer j.Close()
			if _, ok := j.Get("a"); ok != test.kept || j.Hydrated() != test.kept || j.Origin() != test.want {
				t.Errorf("kept %v, hydrated %v, origin %v; want %v, %v", ok, j.Hydrated(), j.Origin(), test.kept, test.want)
			}
		})
	}
}

// A crash of the host stays known until a hydrate has completed after it.
func TestRebootedUntilHydrated(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, home)
	j.SetHydrated()
	j.Close()
	now := home
	now.BootID = "two"
	for range 2 {
		j = mustOpen(t, dir, now)
		if j.Origin() != Rebooted {
			t.Fatalf("origin is %v before hydrate", j.Origin())
		}
		j.Put(Entry{Path: "a", Key: "a"})
		j.rewrite()
		j.Close()
	}
	j = mustOpen(t, dir, now)
	j.SetHydrated()
	j.Close()
	j = mustOpen(t, dir, now)
	defer j.Close()
	if j.Origin() != Continued {
		t.Fatalf("origin is %v after hydrate", j.Origin())
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, home)
	if _, err := Open(dir, home); !errors.Is(err, errLocked) {
		t.Fatalf("a second open says %v", err)
	}
	j.Close()
	mustOpen(t, dir, home).Close()
}

func TestIntentWrote(t *testing.T) {
	in := Intent{WriteID: "abc.3"}
	for id, want := range map[string][2]bool{
		"abc.3": {true, true}, "abc.1": {true, false}, "abd.3": {false, false}, "": {false, false}, "abc": {false, false},
	} {
		ours, newest := in.Wrote(id)
		if [2]bool{ours, newest} != want {
			t.Errorf("%q: ours %v, newest %v", id, ours, newest)
		}
	}
	if ours, newest := (Intent{}).Wrote(""); ours || newest {
		t.Error("no intent claims an object without an id")
	}
}

func TestChildrenAndBelow(t *testing.T) {
	j := mustOpen(t, t.TempDir(), home)
	defer j.Close()
	for _, p := range []string{"a", "d/x", "d/e/y", "d/e/z", "f/g/h"} {
		j.Put(Entry{Path: p, Key: p})
	}
	names := func(dir string) map[string]bool {
		got := map[string]bool{}
		for e := range j.Below(dir) {
			got[e.Path] = true
		}
		return got
	}
	if diff := cmp.Diff(map[string]bool{"d/x": true, "d/e/y": true, "d/e/z": true}, names("d")); diff != "" {
		t.Error(diff)
	}
	if n := len(names("")); n != 5 {
		t.Errorf("%d below the root", n)
	}
	j.Forget("f/g/h")
	if _, dirs := j.Children(""); len(dirs) != 1 || dirs[0] != "d" {
		t.Errorf("directories of the root: %q", dirs)
	}
}

// The log stays in proportion to what it holds.
func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, home)
	defer j.Close()
	for i := range 100_000 {
		if err := j.Put(Entry{Path: "log", Key: "log", Size: int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	st, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() > 6<<20 {
		t.Errorf("the log of one entry has %d bytes", st.Size())
	}
}

func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var x index
	for i := range 200_000 {
		p := fmt.Sprintf("project/node_modules/package-%05d/lib/internal/file-%06d.js", i/10, i)
		x.put(Entry{Path: p, Key: p, ETag: fmt.Sprintf("%032x", i+1), Size: 4096})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	got := int64(after.HeapAlloc-before.HeapAlloc) >> 20
	t.Logf("200,000 entries in 20,000 directories: %d MB", got)
	if got > 60 {
		t.Errorf("200,000 entries take %d MB", got)
	}
	runtime.KeepAlive(&x)
}

// A deletion that was sent stays unanswered while writes follow it, and does not hide one that may still arrive.
func TestDeletionIsUnansweredUntilPutOrForget(t *testing.T) {
	j := mustOpen(t, t.TempDir(), home)
	defer j.Close()
	for _, end := range []func() error{
		func() error { return j.Put(Entry{Path: "f", Key: "f", ETag: "e"}) },
		func() error { return j.Forget("f") },
	} {
		for _, sent := range []string{"f", "f/"} {
			j.Begin("f", Intent{WriteID: "w.1", Key: sent})
			j.BeginDelete("f", "f")
			if in, ok := j.Intent("f"); !ok || !in.Deletes || in.WriteID != "w.1" || in.Key != sent {
				t.Errorf("after a write of %q: %+v", sent, in)
			}
			j.Begin("f", Intent{WriteID: "w.2", Key: "f"})
			if in, _ := j.Intent("f"); !in.Deletes {
				t.Errorf("a write ends it: %+v", in)
			}
			end()
			if in, ok := j.Intent("f"); ok {
				t.Errorf("it does not end: %+v", in)
			}
			if in, ok := j.Unresolved("f"); !ok || in.Deletes || in.WriteID != "w.2" {
				t.Errorf("what may still arrive: %+v", in)
			}
			j.Arrived("f")
		}
	}
}
