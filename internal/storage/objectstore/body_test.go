package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestLostAnswer: a conditional write whose answer was lost is ours, and not another client's.
func TestLostAnswer(t *testing.T) {
	b := newBench(t, smallParts)
	id := map[string]string{"sandbox-write": "mine"}
	write := func(key string, size int, meta map[string]string) (Object, error) {
		body := content(size)
		return b.store.Put(t.Context(), key, bytes.NewReader(body), int64(size), PutOptions{Condition: Condition{IfNoneMatch: true}, Metadata: meta})
	}
	t.Run("ours", func(t *testing.T) {
		b.fault("PUT", 1, testbed.LoseAnswer())
		o, err := write("a", 100, id)
		stored, _ := b.bucket.Get("a")
		if err != nil || o.ETag != stored.ETag {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("ours, in parts", func(t *testing.T) {
		b.fault("COMPLETE", 1, testbed.LoseAnswer())
		o, err := write("b", 2*minPart, id)
		stored, _ := b.bucket.Get("b")
		if err != nil || o.ETag != stored.ETag || o.Size != 2*minPart {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("ours, by a copy", func(t *testing.T) {
		b.fault("COPY", 1, testbed.LoseAnswer())
		if _, err := b.store.Copy(t.Context(), CopyRequest{SrcKey: "a", DstKey: "c", Condition: Condition{IfNoneMatch: true}, Metadata: id}); err != nil {
			t.Error(err)
		}
	})
	t.Run("without an id nobody can tell", func(t *testing.T) {
		b.fault("PUT", 1, testbed.LoseAnswer())
		_, err := write("d", 100, nil)
		b.want(err, ErrPrecondition)
	})
	t.Run("somebody else's", func(t *testing.T) {
		b.bucket.Put("e", "theirs", map[string]string{"sandbox-write": "another"})
		b.fault("PUT", 1, testbed.Refuse(500, "InternalError"))
		_, err := write("e", 100, id)
		b.want(err, ErrPrecondition)
		b.bucket.Want("e", "theirs")
	})
	t.Run("a deletion", func(t *testing.T) {
		o := b.mustPut("f", "x")
		b.fault("DELETE", 1, testbed.LoseAnswer())
		if err := b.store.Delete(t.Context(), "f", Condition{IfMatch: o.ETag}); err != nil {
			t.Error(err)
		}
	})
}

// A write tells when an attempt at it was not answered, and may still be on its way.
func TestAmbiguous(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(*bench)
		want    bool
	}{
		"answered at once":       {func(*bench) {}, false},
		"refused, then answered": {func(b *bench) { b.fault("PUT", 1, testbed.Refuse(503, "SlowDown")) }, true}, // a 5xx may come from something in front
		"reset":                  {func(b *bench) { b.fault("PUT", 1, testbed.ResetBefore()) }, true},
		"its answer lost":        {func(b *bench) { b.fault("PUT", 1, testbed.LoseAnswer()) }, true},
		"nobody there at first": {func(b *bench) {
			b.proxy.Away()
			done := make(chan struct{})
			go func() { defer close(done); <-time.After(100 * time.Millisecond); b.proxy.Back() }()
			b.Cleanup(func() { <-done })
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.arrange(b)
			o, err := b.put("a", "content", PutOptions{Condition: Condition{IfNoneMatch: true}, Metadata: map[string]string{"sandbox-write": "mine"}})
			if err != nil || o.Ambiguous != c.want {
				t.Errorf("ambiguous %v, want %v: %v", o.Ambiguous, c.want, err)
			}
		})
	}
}

// changing is a file that changes when a byte of it has been read for the second time.
type changing struct {
	at            int64
	before, after []byte
	reads         atomic.Int64
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	b := c.before
	if off <= c.at && c.at < off+int64(len(p)) && c.reads.Add(1) > 1 {
		b = c.after
	}
	return bytes.NewReader(b).ReadAt(p, off)
}

// TestTornBody: a body that changes while it is written is never stored.
func TestTornBody(t *testing.T) {
	b := newBench(t, smallParts)
	for name, size := range map[string]int64{"one request": 1 << 20, "parts": 2 * minPart} {
		before := content(int(size))
		after := append([]byte(nil), before...)
		at := size/2 + 1000
		after[at]++
		_, err := b.store.Put(t.Context(), name, &changing{at: at, before: before, after: after}, size, PutOptions{})
		b.want(err, ErrChecksum)
		b.bucket.WantNone(name)

		_, err = b.store.Put(t.Context(), name, &changing{at: at, before: before, after: before[:at]}, size, PutOptions{})
		b.want(err, io.ErrUnexpectedEOF)
		b.bucket.WantNone(name)

		_, err = b.store.Put(t.Context(), name, bytes.NewReader(before[:size-1]), size, PutOptions{})
		b.want(err, io.ErrUnexpectedEOF)
		b.bucket.WantNone(name)
	}
	if u := b.bucket.Uploads(); len(u) != 0 {
		t.Errorf("uploads left over: %v", u)
	}
}

// TestVerify: it is asked once, after the last read of the body, and before there is an object.
func TestVerify(t *testing.T) {
	b := newBench(t, smallParts)
	for _, size := range []int{0, 100, smallBody + 1, 2 * minPart} {
		key, asked := fmt.Sprint("k", size), 0
		body := content(size)
		changed := errors.New("the file has changed")
		_, err := b.store.Put(t.Context(), key, bytes.NewReader(body), int64(size), PutOptions{Verify: func() error {
			asked++
			b.bucket.WantNone(key)
			return changed
		}})
		b.want(err, changed)
		b.bucket.WantNone(key)
		_, err = b.store.Put(t.Context(), key, bytes.NewReader(body), int64(size), PutOptions{Verify: func() error { asked++; return nil }})
		b.want(err, nil)
		b.bucket.Want(key, string(body))
		if asked != 2 {
			t.Errorf("%d bytes: asked %d times", size, asked)
		}
	}
	if u := b.bucket.Uploads(); len(u) != 0 {
		t.Errorf("uploads left over: %v", u)
	}
}

// owned is a body that notices when it is read after it was given back.
type owned struct {
	body     io.ReaderAt
	returned atomic.Bool
	late     atomic.Int64
}

func (o *owned) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.body.ReadAt(p, off)
	if o.returned.Load() {
		o.late.Add(1)
	}
	return n, err
}

// TestBodyIsNotReadAfterPut: the caller may change its body when Put has returned, also
// when the connection broke in the middle of it.
func TestBodyIsNotReadAfterPut(t *testing.T) {
	b := newBench(t)
	b.fault("PUT", 0, testbed.ResetRequest(1))
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		r := &owned{body: bytes.NewReader(content(4 << 20))}
		done := make(chan struct{})
		b.proxy.Forget()
		go func() {
			defer close(done)
			_, _ = b.store.Put(ctx, "k", r, 4<<20, PutOptions{})
			r.returned.Store(true)
		}()
		b.proxy.WaitFor(t.Context(), testbed.Match{Verb: "PUT"}, 2)
		cancel()
		<-done
		b.store.Close()
		if n := r.late.Load(); n != 0 {
			t.Fatalf("the body was read %d times after Put had returned", n)
		}
	}
}
