package objectstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestComposeCut cuts content at random and checks S3's rules, and that nothing that changed is copied.
func TestComposeCut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const partSize = 16 << 20
	for range 2000 {
		b := Basis{Key: "k", ETag: "e", Size: r.Int64N(200 << 20)}
		size := r.Int64N(200<<20) + 1
		if r.IntN(3) == 0 {
			size = b.Size + r.Int64N(1000) + 1
		}
		for at := int64(0); len(b.Changed) < r.IntN(6); {
			off := at + r.Int64N(40<<20)
			if off >= b.Size {
				break
			}
			end := min(off+1+r.Int64N(8<<20), b.Size)
			b.Changed = append(b.Changed, Range{off, end})
			at = end + 1
		}
		at := int64(0)
		parts := compose(size, b, partSize)
		for i, p := range parts {
			if p.offset != at || p.size <= 0 || p.size < minPart && i < len(parts)-1 {
				t.Fatalf("part %d of %d: %d bytes at %d, after %d; %d of %+v", i, len(parts), p.size, p.offset, at, size, b)
			}
			at += p.size
			if p.copied && (at > b.Size || slices.ContainsFunc(b.Changed, func(c Range) bool { return c.Off < at && c.End > p.offset })) {
				t.Fatalf("what changed is copied: %d bytes at %d; %d of %+v", p.size, p.offset, size, b)
			}
		}
		if at != size {
			t.Fatalf("%d bytes are cut, not %d", at, size)
		}
	}
}

// TestComposeSendsWhatChanged, and nothing else.
func TestComposeSendsWhatChanged(t *testing.T) {
	b := newBench(t)
	old := content(40 << 20)
	o, err := b.store.Put(t.Context(), "k", bytes.NewReader(old), int64(len(old)), PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	body := append(slices.Clone(old), "more"...)
	body[20<<20] ^= 1
	plan, ok := b.store.Plan(int64(len(body)), Basis{Key: "k", ETag: o.ETag, Size: int64(len(old)), Changed: []Range{{20 << 20, 20<<20 + 1}}})
	if !ok || len(plan.Sent) != 2 {
		t.Fatalf("%+v, %v", plan, ok)
	}
	only := make([]byte, len(body)) // what is not to be read is not there
	for _, r := range plan.Sent {
		copy(only[r.Off:r.End], body[r.Off:r.End])
	}
	meta := map[string]string{"sandbox-write": "w"}
	o, err = b.store.Compose(t.Context(), "k", bytes.NewReader(only), plan, PutOptions{Metadata: meta, Condition: Condition{IfMatch: o.ETag}})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := b.bucket.Get("k")
	if !bytes.Equal(got.Body, body) || got.Metadata["sandbox-write"] != "w" || o.Size != int64(len(body)) {
		t.Errorf("%d bytes, %v, %+v", len(got.Body), got.Metadata, o)
	}
	// The basis is gone: nothing is made of another version.
	if _, err := b.store.Compose(t.Context(), "k", bytes.NewReader(only), plan, PutOptions{}); !errors.Is(err, ErrPrecondition) {
		t.Errorf("of a version that is gone: %v", err)
	}
	if u := b.bucket.Uploads(); len(u) > 0 {
		t.Errorf("uploads are left behind: %v", u)
	}
}

// TestComposeIsRefused by stores that do not copy parts: the caller is told once, and puts all of it.
func TestComposeIsRefused(t *testing.T) {
	for name, do := range map[string]testbed.Action{
		"not implemented": testbed.Refuse(501, "NotImplemented"), "denied": testbed.Refuse(403, "AccessDenied"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			old := content(8 << 20)
			o, err := b.store.Put(t.Context(), "k", bytes.NewReader(old), int64(len(old)), PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PARTCOPY"}, Do: do})
			basis := Basis{Key: "k", ETag: o.ETag, Size: int64(len(old))}
			plan, ok := b.store.Plan(int64(len(old))+1, basis)
			if !ok {
				t.Fatal("there is no plan")
			}
			if _, err := b.store.Compose(t.Context(), "k", bytes.NewReader(append(slices.Clone(old), 'x')), plan, PutOptions{}); !errors.Is(err, ErrUnsupported) {
				t.Errorf("%v", err)
			}
			if _, ok := b.store.Plan(int64(len(old))+1, basis); ok != (name == "denied") {
				t.Errorf("planned again: %v", ok)
			}
			if u := b.bucket.Uploads(); len(u) > 0 {
				t.Errorf("uploads are left behind: %v", u)
			}
		})
	}
}
