package pending

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func entry(r *rand.Rand) Entry {
	text := func() string {
		b := make([]byte, r.IntN(12))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return string(b)
	}
	version := func() Version { return Version{text(), r.Int64() - r.Int64(), r.Int64N(1 << 40)} }
	e := Entry{
		Path: "p" + text(), Seq: r.Uint64(), Since: r.Int64(), Base: version(), UploadID: text(),
		Kind: Kind(r.IntN(4)), Mode: r.Uint32(), Mtime: -r.Int64(), Live: r.IntN(2) == 0, Data: text(),
		Source: Source{text(), version()}, Target: text(), Synced: r.IntN(2) == 0,
		ModeGuessed: r.IntN(2) == 0, MtimeGuessed: r.IntN(2) == 0,
	}
	for range r.IntN(3) {
		e.Writes = append(e.Writes, "w"+text())
	}
	return e
}

// TestKillAtEveryByte cuts the journal at every length: what is read is what some batch
// left, and the journal goes on from there.
func TestKillAtEveryByte(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	j, _, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]Entry{}
	states, ends := []map[string]Entry{{}}, []int64{j.size}
	for range 12 {
		var b Batch
		if len(state) > 0 && r.IntN(3) == 0 {
			b.Remove = slices.Collect(maps.Keys(state))[:1]
			delete(state, b.Remove[0])
		}
		for range 1 + r.IntN(3) {
			e := entry(r)
			b.Put = append(b.Put, e)
			state[e.Path] = e
		}
		if err := j.Apply(b, len(state)); err != nil {
			t.Fatal(err)
		}
		states, ends = append(states, maps.Clone(state)), append(ends, j.size)
	}
	j.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "journal"), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		i, exact := slices.BinarySearch(ends, int64(cut))
		if !exact {
			i = max(0, i-1)
		}
		check := func(want map[string]Entry) *Journal {
			t.Helper()
			j, got, err := Open(dir)
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("cut at %d (-want +got):\n%s", cut, d)
			}
			return j
		}
		j := check(states[i])
		want := maps.Clone(states[i])
		e := entry(r)
		want[e.Path] = e
		if err := j.Apply(Batch{Put: []Entry{e}}, len(want)); err != nil {
			t.Fatal(err)
		}
		j.Close()
		check(want).Close()
	}
}

func TestCompact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	dir := t.TempDir()
	j, _, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := entry(r)
	for !j.Wasteful() {
		e.Seq++
		if err := j.Apply(Batch{Put: []Entry{e}}, 1); err != nil {
			t.Fatal(err)
		}
	}
	before := j.size
	if err := j.Compact(slices.Values([]Entry{e})); err != nil {
		t.Fatal(err)
	}
	if j.size*100 > before || j.Wasteful() {
		t.Errorf("%d bytes became %d", before, j.size)
	}
	other := entry(r)
	other.Path = "other"
	if err := j.Apply(Batch{Put: []Entry{other}}, 2); err != nil {
		t.Fatal(err)
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	_, got, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]Entry{e.Path: e, "other": other}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestForeignFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "journal")
	content := []byte("something that is not a journal at all")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir); err == nil {
		t.Error("a file that is no journal was accepted")
	}
	if got, _ := os.ReadFile(name); string(got) != string(content) {
		t.Error("a file that is no journal was changed")
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 4))
	for range 8 {
		e := entry(r)
		f.Add(e.encode(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(e.encode(nil))
		if d := cmp.Diff(e, again); err != nil || d != "" {
			t.Errorf("%v, -first +second:\n%s", err, d)
		}
	})
}
