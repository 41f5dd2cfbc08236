package attrindex

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrx/sandbox/internal/storage/binenc"
)

func entry(r *rand.Rand, key string) Entry {
	e := Entry{Key: key, Size: r.Int64N(1 << 40), Modified: r.Int64N(1 << 33), Mode: r.Uint32() & 0o177777, Mtime: r.Int64() - r.Int64(), Ctime: r.Int64() - r.Int64(), Ino: r.Uint64()}
	switch r.IntN(4) {
	case 0:
		e.ETag = fmt.Sprintf("%x-%d", r.Uint64(), r.IntN(100))
	case 1:
		e.ETag, e.Target = fmt.Sprintf("%016X%016X", r.Uint64(), r.Uint64()), "../some/target"
	default:
		e.ETag = fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
	}
	return e
}

func open(t *testing.T, dir string) *Index {
	t.Helper()
	x, err := Open(dir, func(do func() error) error { return do() })
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func check(t *testing.T, x *Index, want map[string]Entry, known []string) {
	t.Helper()
	for _, k := range known {
		got, ok := x.Find(k)
		w, wok := want[k]
		if ok != wok || ok && got != w {
			t.Fatalf("%q: %v, %v\n%s", k, ok, wok, cmp.Diff(w, got))
		}
	}
}

// TestRandom compares an index with a map through puts, removals, folds and restarts.
func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	dir := t.TempDir()
	x := open(t, dir)
	want := map[string]Entry{}
	var known []string
	for step := range 4000 {
		key := fmt.Sprintf("dir-%d/name %d", r.IntN(20), r.IntN(80))
		known = append(known, key)
		e := entry(r, key)
		if r.IntN(5) == 0 {
			e = Entry{Key: key}
			delete(want, key)
		} else {
			want[key] = e
		}
		if err := x.Put(e); err != nil {
			t.Fatal(err)
		}
		switch r.IntN(200) {
		case 0:
			if err := x.Fold(Final); err != nil {
				t.Fatal(err)
			}
		case 1:
			x.Close()
			x = open(t, dir)
		}
		if step%500 == 0 {
			check(t, x, want, known)
		}
	}
	if err := x.Fold(Final); err != nil {
		t.Fatal(err)
	}
	check(t, x, want, known)
	if all, recent := x.Counts(); all != len(want) || recent != 0 {
		t.Errorf("%d entries and %d new ones, not %d", all, recent, len(want))
	}
	x.Close()
	x = open(t, dir)
	check(t, x, want, known)
	x.Close()
}

func TestAdopt(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	a, b := open(t, t.TempDir()), open(t, t.TempDir())
	defer a.Close()
	defer b.Close()
	older, newer := entry(r, "both"), entry(r, "both")
	older.Modified, newer.Modified = 100, 200
	onlyA, onlyB, gone := entry(r, "a"), entry(r, "b"), entry(r, "gone")
	for _, e := range []Entry{older, onlyA, gone} {
		a.Put(e)
	}
	a.Fold(Final)
	a.Put(Entry{Key: "gone"})
	for _, e := range []Entry{newer, onlyB, gone} {
		b.Put(e)
	}
	b.Fold(Final)
	if err := a.Adopt(filepath.Join(b.dir, tableName), Final); err != nil {
		t.Fatal(err)
	}
	check(t, a, map[string]Entry{"both": newer, "a": onlyA, "b": onlyB}, []string{"both", "a", "b", "gone", "c"})
}

// TestTableLeavesOutWhatIsYoung: of what another version could be taken for, the table has nothing. The index goes on
// finding it.
func TestTableLeavesOutWhatIsYoung(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir)
	other := entry(rand.New(rand.NewPCG(5, 5)), "other")
	other.Modified = 50
	old := Entry{Key: "k", ETag: "0123456789abcdef0123456789abcdef", Size: 3, Modified: 97, Mode: 0o100640, Mtime: 1}
	shared := func(asOf int64) *Index {
		t.Helper()
		if err := x.Fold(asOf); err != nil {
			t.Fatal(err)
		}
		fresh := open(t, t.TempDir())
		t.Cleanup(func() { fresh.Close() })
		if err := fresh.Adopt(filepath.Join(dir, tableName), Final); err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	known := []string{"k", "other"}
	x.Put(old)
	x.Put(other)
	check(t, shared(99), map[string]Entry{"other": other}, known)
	check(t, x, map[string]Entry{"k": old, "other": other}, known)
	check(t, shared(100), map[string]Entry{"k": old, "other": other}, known)
	if x.Doubtful() {
		t.Error("what the table has is in doubt")
	}
	young := old
	young.Mode, young.Modified = 0o100700, 99
	x.Put(young)
	if !x.Doubtful() {
		t.Error("the table has an entry that is taken for the newer version's")
	}
	check(t, shared(100), map[string]Entry{"other": other}, known)
	if x.Doubtful() {
		t.Error("the new table has it still")
	}
	x.Close()
	x = open(t, dir)
	check(t, x, map[string]Entry{"k": young, "other": other}, known)
	check(t, shared(Final), map[string]Entry{"k": young, "other": other}, known)
	x.Close()
}

// TestDamage flips and cuts bytes everywhere: the index opens, and tells nothing wrong.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	dir := t.TempDir()
	x := open(t, dir)
	want := map[string]Entry{}
	for i := range 300 {
		e := entry(r, fmt.Sprintf("k%03d", i))
		want[e.Key] = e
		x.Put(e)
		if i == 200 {
			x.Fold(Final)
		}
	}
	x.Close()
	for _, name := range []string{tableName, logName} {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			bad := append([]byte{}, whole...)
			if r.IntN(2) == 0 {
				bad = bad[:r.IntN(len(bad))]
			} else {
				bad[r.IntN(len(bad))] ^= byte(1 + r.IntN(255))
			}
			other := t.TempDir()
			os.CopyFS(other, os.DirFS(dir))
			os.WriteFile(filepath.Join(other, name), bad, 0o600)
			x := open(t, other)
			for k := range maps.Keys(want) {
				if got, ok := x.Find(k); ok && got != want[k] {
					t.Fatalf("%s: %q is %+v, not %+v", name, k, got, want[k])
				}
			}
			x.Close()
		}
	}
}

func FuzzEntry(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 8 {
		e := entry(r, fmt.Sprint("key", i))
		f.Add(e.encode(nil, "keyring"), "keyring")
	}
	f.Fuzz(func(t *testing.T, b []byte, before string) {
		r := binenc.NewReader(b)
		e := readEntry(r, before)
		if r.Err() != nil {
			return
		}
		again := binenc.NewReader(e.encode(nil, before))
		if got := readEntry(again, before); again.Err() != nil || got != e {
			t.Errorf("%v\n%s", again.Err(), cmp.Diff(e, got))
		}
	})
}

// TestEntryOfEarlierVersion has neither ctime nor inode.
func TestEntryOfEarlierVersion(t *testing.T) {
	b := []byte{0, 3, 'k', 'e', 'y'}
	b = binenc.AppendETag(b, "etag")
	b = binary.AppendVarint(b, 5)
	b = binary.AppendVarint(b, 6)
	b = binary.AppendUvarint(b, 0o100640)
	b = binary.AppendVarint(b, 7)
	b = binenc.AppendString(b, "target")
	r := binenc.NewReader(b)
	want := Entry{Key: "key", ETag: "etag", Size: 5, Modified: 6, Mode: 0o100640, Mtime: 7, Target: "target"}
	if got := readEntry(r, ""); got != want || r.Err() != nil || r.Len() > 0 {
		t.Errorf("it reads %+v, %v", got, r.Err())
	}
}
