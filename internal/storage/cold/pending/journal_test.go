package pending

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrx/sandbox/internal/storage/reclog"
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
	states, ends := []map[string]Entry{{}}, []int64{j.log.Size()}
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
		states, ends = append(states, maps.Clone(state)), append(ends, j.log.Size())
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
			if d := cmp.Diff(want, got.Entries); d != "" || got.Damaged != nil {
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

// TestCompactWhileApplying writes the journal anew while entries come and go: whichever of the two files
// the end of the machine leaves, it has all of them.
func TestCompactWhileApplying(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	dir := t.TempDir()
	j, _, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]Entry{}
	apply := func(b Batch) {
		t.Helper()
		for _, p := range b.Remove {
			delete(state, p)
		}
		for _, e := range b.Put {
			state[e.Path] = e
		}
		if err := j.Apply(b, len(state)); err != nil {
			t.Fatal(err)
		}
	}
	named := func(path string) Entry {
		e := entry(r)
		e.Path = path
		return e
	}
	check := func(when string) {
		t.Helper()
		copied := t.TempDir()
		text, err := os.ReadFile(filepath.Join(dir, "journal"))
		if err == nil {
			err = os.WriteFile(filepath.Join(copied, "journal"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		c, found, err := Open(copied)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if d := cmp.Diff(state, found.Entries); d != "" || found.Damaged != nil {
			t.Fatalf("%s: %v (-want +got):\n%s", when, found.Damaged, d)
		}
	}
	for !j.Wasteful() {
		apply(Batch{Put: []Entry{named("a"), named("b"), named("c")}})
	}
	before := j.log.Size()
	c, err := j.BeginCompact()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.BeginCompact(); err == nil || j.Wasteful() {
		t.Fatal("a second one begins")
	}
	apply(Batch{Put: []Entry{named("new"), named("a")}})
	if err := c.Add([]Entry{state["a"], state["b"]}); err != nil {
		t.Fatal(err)
	}
	apply(Batch{Remove: []string{"b"}, Put: []Entry{named("c")}})
	check("before the end")
	if err := c.Add([]Entry{state["c"]}); err != nil {
		t.Fatal(err)
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	check("after the end")
	if j.log.Size()*100 > before || j.Wasteful() {
		t.Errorf("%d bytes became %d", before, j.log.Size())
	}
	apply(Batch{Put: []Entry{named("after")}})
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	check("afterwards")
	c, err = j.BeginCompact()
	if err != nil {
		t.Fatal(err)
	}
	apply(Batch{Put: []Entry{named("later")}})
	j.Close() // a kill, or the end, before it has ended
	check("given up")
	if err := c.End(); err == nil {
		t.Error("it ends after the journal was closed")
	}
}

// TestSyncWhileJournalIsWrittenAnew: a program's fsync does not fail because the file was replaced under it.
func TestSyncWhileJournalIsWrittenAnew(t *testing.T) {
	j, _, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	ended := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-ended:
				return
			default:
			}
			if err := j.Sync(); err != nil {
				failed <- err
				return
			}
		}
	}()
	for range 100 {
		c, err := j.BeginCompact()
		if err == nil {
			err = c.End()
		}
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(ended)
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// TestDamagedJournalIsSetAside has each kind of damage that a checksum does not explain by a kill: the
// journal opens all the same, with what stands before the damage, and the file is kept.
func TestDamagedJournalIsSetAside(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	good := entry(r)
	for name, c := range map[string]struct {
		content []byte
		want    map[string]Entry
	}{
		"zeros where the header was": {make([]byte, 4096), map[string]Entry{}},
		"another program's file":     {[]byte("something that is not a journal at all"), map[string]Entry{}},
		"a record of no known kind":  {logOf(t, appendBatch(nil, Batch{Put: []Entry{good}}), []byte{9, 1, 'x'}), map[string]Entry{good.Path: good}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "journal"), c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			j, found, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, found.Entries); d != "" || found.Damaged == nil {
				t.Errorf("damage: %v; entries (-want +got):\n%s", found.Damaged, d)
			}
			if got, err := os.ReadFile(found.SetAside); err != nil || string(got) != string(c.content) {
				t.Errorf("the damaged file was not kept as it was: %v", err)
			}
			other := entry(r)
			other.Path = "other"
			if err := j.Apply(Batch{Put: []Entry{other}}, 2); err != nil {
				t.Fatal(err)
			}
			j.Close()
			c.want["other"] = other
			j, found, err = Open(dir)
			if err != nil || found.Damaged != nil {
				t.Fatal(err, found.Damaged)
			}
			defer j.Close()
			if d := cmp.Diff(c.want, found.Entries); d != "" {
				t.Errorf("the new journal (-want +got):\n%s", d)
			}
		})
	}
}

// logOf is the content of a journal with these records.
func logOf(t *testing.T, payloads ...[]byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	l, err := reclog.Create(path, format, func(put func([]byte) error) error {
		for _, p := range payloads {
			if err := put(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
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
