package objectstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// interrupted begins an upload of body to k that ends after three parts, and gives its id.
func (b *bench) interrupted(body []byte) (id string) {
	b.Helper()
	const key = "k"
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	g := testbed.Hold()
	f := b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PART"}, After: 3, Do: g})
	defer f.Remove()
	done := make(chan error)
	go func() {
		_, err := b.store.Put(ctx, key, bytes.NewReader(body), int64(len(body)), PutOptions{
			Metadata: map[string]string{"sandbox-write": "w"}, OnUploadID: func(u string) { id = u },
		})
		done <- err
	}()
	<-g.Arrived()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	// The gate stays closed: the proxy learns later that its client has gone, and would let the part through.
	if id == "" || len(b.bucket.Uploads()) != 1 {
		b.Fatalf("upload %q, in S3 %v", id, b.bucket.Uploads())
	}
	b.bucket.WantNone(key)
	return id
}

func TestUploadIsContinued(t *testing.T) {
	one := func(o *Options) { o.PartSize, o.Parts = minPart, 1 }
	b := newBench(t, one)
	body := content(4*minPart + 100)
	put := func(body []byte, id string) (Object, error) {
		return b.store.Put(t.Context(), "k", bytes.NewReader(body), int64(len(body)), PutOptions{UploadID: id, Metadata: map[string]string{"sandbox-write": "w"}})
	}
	t.Run("same content", func(t *testing.T) {
		id := b.interrupted(body)
		b.proxy.Forget()
		if _, err := put(body, id); err != nil {
			t.Fatal(err)
		}
		if n := b.proxy.Count("PART"); n != 2 || b.proxy.Count("CREATE") != 0 {
			t.Errorf("%d parts sent, want 2; %d created", n, b.proxy.Count("CREATE"))
		}
		o, _ := b.bucket.Get("k")
		if !bytes.Equal(o.Body, body) || o.Metadata["sandbox-write"] != "w" {
			t.Errorf("%d bytes, %v", len(o.Body), o.Metadata)
		}
	})
	b.bucket.Delete("k")
	t.Run("other content", func(t *testing.T) {
		id := b.interrupted(body)
		other := bytes.Clone(body)
		other[minPart+7]++ // in the second part
		b.proxy.Forget()
		if _, err := put(other, id); err != nil {
			t.Fatal(err)
		}
		if n := b.proxy.Count("PART"); n != 3 {
			t.Errorf("%d parts sent, want 3", n)
		}
		b.bucket.Want("k", string(other))
	})
	b.bucket.Delete("k")
	t.Run("shorter content", func(t *testing.T) {
		id := b.interrupted(body)
		if _, err := put(body[:2*minPart+5], id); err != nil {
			t.Fatal(err)
		}
		b.bucket.Want("k", string(body[:2*minPart+5]))
	})
	b.bucket.Delete("k")
	t.Run("gone", func(t *testing.T) {
		id := b.interrupted(body)
		if err := b.store.Abort(t.Context(), "k", id); err != nil {
			t.Fatal(err)
		}
		if _, err := put(body, id); err != nil {
			t.Fatal(err)
		}
		b.bucket.Want("k", string(body))
	})
	if u := b.bucket.Uploads(); len(u) != 0 {
		t.Errorf("uploads left over: %v", u)
	}
}

// TestContinuedPartsAreListedInPages: a list of parts comes in pages of a thousand.
func TestParsePartsInPages(t *testing.T) {
	b := newBench(t)
	page := func(n, size, next string) string {
		return "<ListPartsResult><PartNumberMarker>0</PartNumberMarker><NextPartNumberMarker>" + next + "</NextPartNumberMarker><IsTruncated>" + map[bool]string{true: "true", false: "false"}[next != ""] +
			"</IsTruncated><Part><PartNumber>" + n + "</PartNumber><ETag>&quot;e" + n + "&quot;</ETag><Size>" + size + "</Size><ChecksumCRC32C>AAAAAQ==</ChecksumCRC32C></Part></ListPartsResult>"
	}
	for i, body := range []string{page("1", "10", "1"), page("2", "10", "2"), page("9", "10", "3"), page("3", "11", "")} {
		b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "LISTPARTS"}, After: i, Times: 1, Do: testbed.Answer(200, nil, body)})
	}
	u := &upload{store: b.store, key: "k", id: "u", parts: cutMust(30, 10)}
	if err := u.recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := u.parts; !p[0].done || p[0].etag != "e1" || p[0].crc != 1 || !p[1].done || p[2].done {
		t.Errorf("%+v", u.parts) // the third has another size, the ninth is none of ours
	}
	if n := b.proxy.Count("LISTPARTS"); n != 4 {
		t.Errorf("%d requests", n)
	}
}

// TestFailedUploadIsGivenUp, when its caller does not take the upload's id to continue it.
func TestFailedUploadIsGivenUp(t *testing.T) {
	b := newBench(t, smallParts)
	body := content(3 * minPart)
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PART"}, After: 1, Times: 1, Do: testbed.Refuse(403, "AccessDenied")})
	_, err := b.store.Put(t.Context(), "k", bytes.NewReader(body), int64(len(body)), PutOptions{})
	b.want(err, ErrAccessDenied)
	if u := b.bucket.Uploads(); len(u) != 0 {
		t.Errorf("left over: %v", u)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g := testbed.Hold()
	b.fault("PART", 0, g)
	done := make(chan error)
	go func() {
		_, err := b.store.Put(ctx, "k", bytes.NewReader(body), int64(len(body)), PutOptions{})
		done <- err
	}()
	<-g.Arrived()
	cancel()
	b.want(<-done, context.Canceled)
	if u := b.bucket.Uploads(); len(u) != 0 {
		t.Errorf("left over after its context ended: %v", u)
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		size, part int64
		n          int
	}{{1, minPart, 1}, {minPart, minPart, 1}, {minPart + 1, minPart, 2}, {6 << 30, 16 << 20, 384}, {160_000 << 20, 16 << 20, 10_000}, {160_000<<20 + 1, 16 << 20, 9412}, {48 << 40, 16 << 20, 9999}} {
		parts, err := cut(c.size, c.part)
		if err != nil || len(parts) != c.n {
			t.Errorf("%+v: %d parts, %v", c, len(parts), err)
			continue
		}
		end := int64(0)
		for i, p := range parts {
			if p.offset != end || p.size <= 0 || p.size > maxPart || i < len(parts)-1 && p.size < minPart {
				t.Errorf("%+v: part %d is %+v", c, i, p)
			}
			end += p.size
		}
		if end != c.size {
			t.Errorf("%+v: the parts end at %d", c, end)
		}
	}
	if _, err := cut(49<<40, 16<<20); err == nil {
		t.Error("49 TiB fit")
	}
}

// counted is a body that says how much of it is read at a time.
type counted struct {
	io.ReaderAt
	now, most atomic.Int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n := c.now.Add(int64(len(p)))
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
	defer c.now.Add(-int64(len(p)))
	return c.ReaderAt.ReadAt(p, off)
}

// TestPartsAreNotHeld: what is in memory of a large body is a buffer for each part under way.
func TestPartsAreNotHeld(t *testing.T) {
	b := newBench(t, smallParts)
	body := &counted{ReaderAt: bytes.NewReader(content(6 * minPart))}
	if _, err := b.store.Put(t.Context(), "k", body, 6*minPart, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if m := body.most.Load(); m > 4*256<<10 {
		t.Errorf("%d bytes were read at a time", m)
	}
}

// TestVanishedUploadIsBegunAnew: a store that answers 409 to the completion of an upload forgets
// the upload; the content goes up again, under another id.
func TestVanishedUploadIsBegunAnew(t *testing.T) {
	b := newBench(t, smallParts)
	body := content(2*minPart + 1)
	b.fault("COMPLETE", 1, testbed.Refuse(409, "ConditionalRequestConflict"))
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "COMPLETE"}, After: 1, Times: 1, Do: testbed.Refuse(404, "NoSuchUpload")})
	var ids []string
	_, err := b.store.Put(t.Context(), "k", bytes.NewReader(body), int64(len(body)), PutOptions{
		Condition: Condition{IfNoneMatch: true}, Metadata: map[string]string{"sandbox-write": "w"},
		OnUploadID: func(id string) { ids = append(ids, id) },
	})
	if err != nil || len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("%v, uploads %q", err, ids)
	}
	if o, _ := b.bucket.Get("k"); !bytes.Equal(o.Body, body) {
		t.Errorf("%d bytes are stored", len(o.Body))
	}
}
