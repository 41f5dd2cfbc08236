package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

func TestMain(m *testing.M) {
	if os.Getenv(proxyChild) != "" {
		askThroughProxy()
		return
	}
	goleak.VerifyTestMain(m)
}

const prefix = "users/u/hot/"

// bench is a bucket, a proxy in front of it, and a Store through that.
type bench struct {
	*testing.T
	bucket *testbed.Bucket
	proxy  *testbed.FaultProxy
	store  *Store
}

func newBench(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	srv := testbed.S3(t)
	b := srv.Bucket(t)
	p := testbed.Proxy(t, srv)
	return &bench{t, b, p, open(t, p.Config(b), srv.Credentials(), change...)}
}

func open(t *testing.T, c config.S3, w wire.Credentials, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{S3: c, Credentials: w, Patience: 30 * time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// smallParts makes what is over 5 MiB go in parts.
func smallParts(o *Options) { o.PartSize, o.Parts = minPart, 4 }

// content is n bytes that do not repeat.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

func (b *bench) put(key, body string, o PutOptions) (Object, error) {
	return b.store.Put(b.Context(), key, strings.NewReader(body), int64(len(body)), o)
}

func (b *bench) mustPut(key, body string) Object {
	b.Helper()
	o, err := b.put(key, body, PutOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return o
}

func (b *bench) get(key string, o GetOptions) (string, error) {
	r, err := b.store.Get(b.Context(), key, o)
	if err != nil {
		return "", err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	return string(body), err
}

func (b *bench) keys(o ListOptions) (keys []string) {
	b.Helper()
	for e, err := range b.store.List(b.Context(), o) {
		if err != nil {
			b.Fatal(err)
		}
		keys = append(keys, e.name())
	}
	return keys
}

func (b *bench) want(err error, is error) {
	b.Helper()
	if !errors.Is(err, is) {
		b.Errorf("error %v, want %v", err, is)
	}
}

// fault lets the next requests of a verb fail; times 0: all.
func (b *bench) fault(verb string, times int, do testbed.Action) *testbed.Applied {
	return b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: verb}, Times: times, Do: do})
}

func TestObjectsComeBackAsTheyWent(t *testing.T) {
	b := newBench(t, smallParts)
	for _, size := range []int{0, 1, 100, smallBody, smallBody + 1, 300_000, minPart, minPart + 1, 3*minPart + 12345} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			key, body := fmt.Sprintf("%ssize %d", prefix, size), content(size)
			meta := map[string]string{"file-mtime": "5ns", "sandbox-write": "id", "note": "with  two blanks"}
			o, err := b.store.Put(t.Context(), key, bytes.NewReader(body), int64(size), PutOptions{Metadata: meta})
			if err != nil {
				t.Fatal(err)
			}
			stored, ok := b.bucket.Get(key)
			if !ok || !bytes.Equal(stored.Body, body) || stored.ETag != o.ETag || o.ETag == "" || o.Size != int64(size) || o.Date.IsZero() {
				t.Fatalf("stored %v: %d bytes, ETag %s; Put said %+v", ok, len(stored.Body), stored.ETag, o)
			}
			h, err := b.store.Head(t.Context(), key)
			if err != nil || h.ETag != o.ETag || h.Size != int64(size) || h.LastModified.IsZero() || h.Date.IsZero() || fmt.Sprint(h.Metadata) != fmt.Sprint(meta) {
				t.Errorf("Head: %+v, %v", h, err)
			}
			if h.checksum.Algorithm != "crc32c" {
				t.Errorf("the store keeps no CRC32C of the whole: %+v", h.checksum)
			}
			r, err := b.store.Get(t.Context(), key, GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, body) || r.ETag != o.ETag || r.Size != int64(size) || r.hash == nil {
				t.Errorf("Get: %d bytes, %+v, %v", len(got), r.Object, err)
			}
			r.Close()
			w := &memory{}
			for _, do := range []DownloadOptions{{}, {IfMatch: o.ETag}, {IfMatch: o.ETag, Size: o.Size}} {
				w.b = nil
				if d, err := b.store.Download(t.Context(), key, w, do); err != nil || !bytes.Equal(w.b, body) || d.ETag != o.ETag || d.Metadata["file-mtime"] != "5ns" {
					t.Errorf("Download(%+v): %d bytes, %+v, %v", do, len(w.b), d, err)
				}
			}
		})
	}
	if n := b.store.Requests(); n["PART"] == 0 || n["COMPLETE"] != 2 {
		t.Errorf("requests: %v; want two uploads in parts", n)
	}
	if u := b.bucket.Uploads(); len(u) != 0 {
		t.Errorf("uploads left over: %v", u)
	}
}

// memory is an io.WriterAt.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	mu.Lock()
	defer mu.Unlock()
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func TestRanges(t *testing.T) {
	b := newBench(t)
	body := string(content(1000))
	o := b.mustPut("k", body)
	for _, c := range []struct{ offset, length, from, to int64 }{
		{0, 1, 0, 1}, {0, 1000, 0, 1000}, {0, 5000, 0, 1000}, {999, 1, 999, 1000}, {999, 0, 999, 1000}, {10, 0, 10, 1000}, {500, 100, 500, 600}, {990, 100, 990, 1000},
	} {
		got, err := b.get("k", GetOptions{IfMatch: o.ETag, Offset: c.offset, Length: c.length})
		if err != nil || got != body[c.from:c.to] {
			t.Errorf("%d+%d: %d bytes, %v", c.offset, c.length, len(got), err)
		}
	}
	if r, err := b.store.Get(t.Context(), "k", GetOptions{Offset: 10, Length: 5}); err != nil || r.Size != 1000 {
		t.Errorf("the size of the object: %+v, %v", r, err)
	} else {
		r.Close()
	}
	_, err := b.get("k", GetOptions{Offset: 1000})
	var e *Error
	if !errors.As(err, &e) || e.Code != "InvalidRange" {
		t.Errorf("beyond the end: %v", err)
	}
}

func TestNamesOfKeys(t *testing.T) {
	b := newBench(t)
	var want []string
	for _, n := range []string{"a b", "a+b", "a%20b", "a%2Fb", "%", "100%25", "é日本\U0001f600", "q?x=y&z#f", "<&>\"'", `b\s`, "~-_.!*'();:@,=$[]{}|^`", " lead", "trail ", "a//b"[:1] + "/b", "dot.", "..x", "\u202e", "\u0085x"} {
		key := prefix + "names/" + n
		o, err := b.put(key, n, PutOptions{Metadata: map[string]string{"sandbox-write": "1"}})
		if err != nil {
			t.Errorf("%q: %v", n, err)
			continue
		}
		b.bucket.Want(key, n)
		if got, err := b.get(key, GetOptions{IfMatch: o.ETag}); err != nil || got != n {
			t.Errorf("%q: %q, %v", n, got, err)
		}
		cp := prefix + "copies/" + n
		if c, err := b.store.Copy(t.Context(), CopyRequest{SrcKey: key, SrcETag: o.ETag, DstKey: cp, Metadata: map[string]string{"sandbox-write": "2"}}); err != nil || c.ETag != o.ETag {
			t.Errorf("copy of %q: %+v, %v", n, c, err)
		}
		b.bucket.Want(cp, n)
		if err := b.store.Delete(t.Context(), cp, Condition{IfMatch: o.ETag}); err != nil {
			t.Errorf("delete %q: %v", n, err)
		}
		want = append(want, key)
	}
	if got := b.keys(ListOptions{Prefix: prefix}); fmt.Sprint(sorted(want)) != fmt.Sprint(got) {
		t.Errorf("listed\n%q, want\n%q", got, sorted(want))
	}
}

func TestMissing(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	_, err := b.store.Head(ctx, "none")
	b.want(err, ErrNotFound)
	_, err = b.get("none", GetOptions{})
	b.want(err, ErrNotFound)
	_, err = b.get("none", GetOptions{IfMatch: "x"})
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrPrecondition) {
		t.Error(err)
	}
	_, err = b.store.Copy(ctx, CopyRequest{SrcKey: "none", DstKey: "k"})
	b.want(err, ErrNotFound)
	if err := b.store.Delete(ctx, "none", Condition{}); err != nil {
		t.Error(err)
	}
	if err := b.store.Delete(ctx, "none", Condition{IfMatch: "x"}); err != nil {
		t.Error(err)
	}
	if err := b.store.Abort(ctx, "none", "no-such-upload"); err != nil {
		t.Error(err)
	}
	if got := b.keys(ListOptions{Prefix: "none"}); got != nil {
		t.Error(got)
	}
}

func TestMetadataIsRefusedBeforeItIsSent(t *testing.T) {
	b := newBench(t)
	for _, m := range []map[string]string{
		{"x": "new\nline"}, {"x": "é"}, {"x": " lead"}, {"x": "trail "}, {"X": "upper"}, {"": "x"}, {"a_b": "x"}, {"x": strings.Repeat("y", 2048)},
	} {
		_, err := b.put("k", "x", PutOptions{Metadata: m})
		b.want(err, ErrInvalid)
	}
	if n := b.proxy.Count(""); n != 0 {
		t.Errorf("%d requests", n)
	}
	if _, err := b.put("k", "x", PutOptions{Metadata: map[string]string{"x": strings.Repeat("y", 2047)}}); err != nil {
		t.Error(err)
	}
}

func TestAnEndedContext(t *testing.T) {
	b := newBench(t)
	b.mustPut("k", "x")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the lease is lost")
	cancel(why)
	b.proxy.Forget()
	for name, err := range map[string]error{
		"Head":   second(b.store.Head(ctx, "k")),
		"Get":    second(b.store.Get(ctx, "k", GetOptions{})),
		"Put":    second(b.store.Put(ctx, "k", strings.NewReader("y"), 1, PutOptions{})),
		"Copy":   second(b.store.Copy(ctx, CopyRequest{SrcKey: "k", DstKey: "l"})),
		"Delete": b.store.Delete(ctx, "k", Condition{}),
		"Check":  b.store.Check(ctx, ""),
	} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("%s: %v; want context.Canceled and the cause", name, err)
		}
	}
	if n := b.proxy.Count(""); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	b.bucket.Want("k", "x")
}

// paused is a context that is over by its own clock, though nothing has fired yet: that of a
// lease in a process that wakes from a pause.
type paused struct{ context.Context }

func (paused) Err() error { return context.Canceled }

func TestAPausedContext(t *testing.T) {
	b := newBench(t)
	b.mustPut("k", "x")
	b.proxy.Forget()
	ctx := paused{t.Context()}
	b.want(b.store.Delete(ctx, "k", Condition{}), context.Canceled)
	b.want(second(b.store.Put(ctx, "k", strings.NewReader("y"), 1, PutOptions{})), context.Canceled)
	b.want(second(b.store.Copy(ctx, CopyRequest{SrcKey: "k", DstKey: "l"})), context.Canceled)
	if n := b.proxy.Count(""); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	b.bucket.Want("k", "x")
}

func second[T any](_ T, err error) error { return err }
