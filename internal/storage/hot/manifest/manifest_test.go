package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, entries []Entry, bundle *Bundle) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for i := range entries {
		must(t, w.Add(&entries[i]))
	}
	must(t, w.Close(time.Unix(1_700_000_000, 1), time.Unix(1_700_000_000, 0), "users/u/hot/", bundle))
	if w.Size() != int64(b.Len()) {
		t.Fatalf("Size() = %d of %d", w.Size(), b.Len())
	}
	return b.Bytes()
}

func decode(b []byte) (*Manifest, error) { return Decode(bytes.NewReader(b), int64(len(b))) }

// sample are entries of every kind, in some blocks.
func sample(n int) ([]Entry, *Bundle) {
	rnd := rand.New(rand.NewPCG(1, 2))
	entries := make([]Entry, n)
	var end int64
	for i := range entries {
		e := &entries[i]
		e.Key = fmt.Sprintf("dir%03d/sub/file%07d", i/50, i)
		if i%10 == 0 {
			e.Key += "\xff\n/"
		}
		e.ETag = fmt.Sprintf("%x", sha256.Sum256([]byte(e.Key)))[:32]
		switch i % 7 {
		case 1:
			e.ETag = strings.ToUpper(e.ETag)
		case 2:
			e.ETag += "-17"
		case 3:
			e.ETag = ""
		}
		e.Size = rnd.Int64N(10_000)
		e.Mode = 0o100644
		e.Mtime = rnd.Int64() - rnd.Int64()
		if i%3 != 0 {
			e.Hashed, e.SHA256 = true, sha256.Sum256([]byte(e.Key))
			if i%5 != 0 {
				end += int64(i%2) * 100
				e.Bundled, e.Offset = true, end
				end += e.Size
			}
		}
	}
	return entries, &Bundle{SHA256: [32]byte{7}, Size: end, ETag: "etag-3"}
}

func all(t testing.TB, m *Manifest) []Entry {
	t.Helper()
	var got []Entry
	for b := range m.Blocks() {
		es, err := m.Block(b)
		must(t, err)
		if es[0].Key != m.First(b) || len(es) != m.BlockLen(b) {
			t.Fatalf("block %d: %d entries from %q, and the footer says %d from %q", b, len(es), es[0].Key, m.BlockLen(b), m.First(b))
		}
		got = append(got, es...)
	}
	return got
}

func TestManifestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, blockEntries, blockEntries + 1, 5000} {
		entries, bundle := sample(n)
		m, err := decode(encode(t, entries, bundle))
		must(t, err)
		if m.Count != n || m.Prefix != "users/u/hot/" || !m.Created.Equal(time.Unix(1_700_000_000, 1)) || !reflect.DeepEqual(m.Bundle, bundle) {
			t.Errorf("%d entries: %+v", n, m)
		}
		if got := all(t, m); n > 0 && !reflect.DeepEqual(got, entries) {
			t.Errorf("%d entries: others came back", n)
		}
	}
	if m, err := decode(encode(t, nil, nil)); err != nil || m.Bundle != nil {
		t.Errorf("no bundle: %+v, %v", m, err)
	}
}

func TestManifestIsSmall(t *testing.T) {
	entries, bundle := sample(10_000)
	if n := len(encode(t, entries, bundle)) / len(entries); n > 90 {
		t.Errorf("%d bytes an entry", n)
	}
}

func TestWriterRefuses(t *testing.T) {
	for what, pair := range map[string][2]Entry{
		"the same key":         {{Key: "a"}, {Key: "a"}},
		"falling keys":         {{Key: "b"}, {Key: "a"}},
		"no key":               {{Key: "a"}, {}},
		"a place that was had": {{Key: "a", Bundled: true, Hashed: true, Size: 10}, {Key: "b", Bundled: true, Hashed: true, Offset: 5}},
		"a negative size":      {{Key: "a"}, {Key: "b", Size: -1}},
		"a key without end":    {{Key: "a"}, {Key: strings.Repeat("b", maxKey+1)}},
	} {
		w := NewWriter(io.Discard)
		must(t, w.Add(&pair[0]))
		if w.Add(&pair[1]) == nil || w.Close(time.Time{}, time.Time{}, "", nil) == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// A manifest that lost or changed any byte is none.
func TestDamage(t *testing.T) {
	entries, bundle := sample(1500)
	good := encode(t, entries, bundle)
	for i := 0; i < len(good); i += 1 + len(good)/2000 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x41
		if _, err := decode(bad); !errors.Is(err, errMalformed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := decode(good[:i]); !errors.Is(err, errMalformed) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := decode(append(bytes.Clone(good), 0)); !errors.Is(err, errMalformed) {
		t.Errorf("a byte more: %v", err)
	}
}

// seal gives a manifest the tail that its content asks for, so that what is wrong with
// the content is found by itself.
func seal(content []byte, footerAt int) []byte {
	b := binary.LittleEndian.AppendUint64(bytes.Clone(content), uint64(footerAt))
	sum := sha256.Sum256(b)
	return append(append(b, sum[:]...), end...)
}

// parts cuts a manifest into what comes before the footer and the footer.
func parts(b []byte) (content, footer []byte) {
	at := binary.LittleEndian.Uint64(b[len(b)-tailSize:])
	return b[:at], b[at : len(b)-tailSize]
}

// A hostile writer can make the hash fit: what is decoded is checked all the same.
func FuzzManifest(f *testing.F) {
	for _, n := range []int{0, 1, 3, blockEntries + 2} {
		entries, bundle := sample(n)
		content, footer := parts(encode(f, entries, bundle))
		f.Add(content, footer)
	}
	f.Fuzz(func(t *testing.T, content, footer []byte) {
		b := seal(append(bytes.Clone(content), footer...), len(content))
		m, err := decode(b)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		count, last := 0, ""
		for i := range m.Blocks() {
			es, err := m.Block(i)
			if err != nil {
				if !errors.Is(err, errMalformed) {
					t.Fatalf("an error of another kind: %v", err)
				}
				return
			}
			for _, e := range es {
				if e.Key <= last {
					t.Fatalf("%q follows %q", e.Key, last)
				}
				last = e.Key
				if e.Size < 0 || e.Mode > 0o177777 || e.Bundled && (m.Bundle == nil || !e.Hashed || e.Offset < 0 || e.Offset+e.Size > m.Bundle.Size) {
					t.Fatalf("believed %+v", e)
				}
			}
			count += len(es)
		}
		if count != m.Count {
			t.Fatalf("%d entries, and the footer says %d", count, m.Count)
		}
		if _, err := m.Ranges(func(int) bool { return true }); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRanges(t *testing.T) {
	var entries []Entry
	var end int64
	add := func(size int64) {
		e := Entry{Key: fmt.Sprintf("%08d", len(entries)), Size: size, Hashed: true, Bundled: true, Offset: end}
		end += size
		entries = append(entries, e)
	}
	for range 3000 {
		add(4096)
	}
	add(0)
	add(maxContent)
	add(1)
	m, err := decode(encode(t, entries, &Bundle{Size: end}))
	must(t, err)
	for what, wanted := range map[string]func(int) bool{
		"all":       func(int) bool { return true },
		"none":      func(int) bool { return false },
		"few":       func(i int) bool { return i%1000 == 7 },
		"every 2nd": func(i int) bool { return i%2 == 0 },
	} {
		rs, err := m.Ranges(wanted)
		must(t, err)
		seen := map[int]bool{}
		var read int64
		for _, r := range rs {
			read += r.Length
			if r.Length > RangeSize {
				t.Errorf("%s: a range of %d bytes", what, r.Length)
			}
			for _, i := range r.Items {
				if e := entries[i]; e.Offset < r.Offset || e.Offset+e.Size > r.Offset+r.Length {
					t.Errorf("%s: entry %d is not in its range", what, i)
				}
				seen[i] = true
			}
		}
		for i := range entries {
			if want := wanted(i) && entries[i].Size > 0; want != seen[i] {
				t.Errorf("%s: entry %d wanted %v, in a range %v", what, i, want, seen[i])
			}
		}
		if what == "few" && (len(rs) != 3 || read != 3*4096) {
			t.Errorf("few: %d ranges of %d bytes", len(rs), read)
		}
	}
}
