package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestPassing: the store tries again after a passing error of each verb, and the result is right.
func TestPassing(t *testing.T) {
	for name, do := range map[string]testbed.Action{
		"500 InternalError":  testbed.Refuse(500, "InternalError"),
		"502 without a body": testbed.Answer(502, nil, ""),
		"503 SlowDown":       testbed.Refuse(503, "SlowDown"),
		"503 HTML":           testbed.Answer(503, map[string]string{"Content-Type": "text/html"}, "<html>busy</html>"),
		"429":                testbed.Refuse(429, "TooManyRequests"),
		"408 RequestTimeout": testbed.Refuse(400, "RequestTimeout"),
		"409 conflict":       testbed.Refuse(409, "ConditionalRequestConflict"),
		"reset before":       testbed.ResetBefore(),
		"answer lost":        testbed.LoseAnswer(),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, smallParts)
			large := content(2 * minPart)
			met := map[string]*testbed.Applied{}
			for _, verb := range []string{"GET", "HEAD", "LIST", "PUT", "COPY", "DELETE", "CREATE", "PART", "COMPLETE"} {
				met[verb] = b.fault(verb, 1, do)
			}
			ctx := t.Context()
			meta := map[string]string{"sandbox-write": "w1"}
			o, err := b.put("k", "body", PutOptions{Condition: Condition{IfNoneMatch: true}, Metadata: meta})
			if err != nil {
				t.Fatal("Put:", err)
			}
			if got, err := b.get("k", GetOptions{}); err != nil || got != "body" {
				t.Errorf("Get: %q, %v", got, err)
			}
			if h, err := b.store.Head(ctx, "k"); err != nil || h.ETag != o.ETag {
				t.Errorf("Head: %+v, %v", h, err)
			}
			if keys := b.keys(ListOptions{}); len(keys) != 1 {
				t.Errorf("List: %q", keys)
			}
			if _, err := b.store.Copy(ctx, CopyRequest{SrcKey: "k", SrcETag: o.ETag, DstKey: "copy", Condition: Condition{IfNoneMatch: true}, Metadata: map[string]string{"sandbox-write": "w2"}}); err != nil {
				t.Errorf("Copy: %v", err)
			}
			b.bucket.Want("copy", "body")
			if err := b.store.Delete(ctx, "copy", Condition{IfMatch: o.ETag}); err != nil {
				t.Errorf("Delete: %v", err)
			}
			b.bucket.WantNone("copy")
			if _, err := b.store.Put(ctx, "large", bytes.NewReader(large), int64(len(large)), PutOptions{Condition: Condition{IfNoneMatch: true}, Metadata: map[string]string{"sandbox-write": "w3"}}); err != nil {
				t.Errorf("Put in parts: %v", err)
			}
			b.bucket.Want("large", string(large))
			for verb, f := range met {
				if f.Hits() != 1 {
					t.Errorf("no %s met the fault", verb)
				}
			}
		})
	}
}

// TestErrorIn200: Copy and Complete answer 200 before they know how it ends.
func TestErrorIn200(t *testing.T) {
	b := newBench(t, smallParts)
	failed := func(code string) testbed.Action {
		return testbed.Answer(200, nil, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n<Error><Code>"+code+"</Code><Message>m</Message></Error>")
	}
	large := content(2 * minPart)
	put := func(key string) error {
		return second(b.store.Put(t.Context(), key, bytes.NewReader(large), int64(len(large)), PutOptions{}))
	}
	cp := func(key string) error {
		return second(b.store.Copy(t.Context(), CopyRequest{SrcKey: "src", DstKey: key}))
	}
	b.mustPut("src", "source")
	for verb, write := range map[string]func(key string) error{"COMPLETE": put, "COPY": cp} {
		f := b.fault(verb, 1, failed("InternalError"))
		if err := write("k"); err != nil || f.Hits() != 1 {
			t.Errorf("%s: %v", verb, err)
		}
		if _, ok := b.bucket.Get("k"); !ok {
			t.Errorf("%s: it is not there", verb)
		}
		b.bucket.Delete("k")
		f = b.fault(verb, 0, failed("AccessDenied"))
		b.want(write("k"), ErrAccessDenied)
		b.bucket.WantNone("k")
		f.Remove()
	}
}

// TestErrorIn200AfterTheWrite: an answer of 200 that carries an error is as uncertain as a lost
// one. What had arrived all the same is known by its id when the next attempt is refused.
func TestErrorIn200AfterTheWrite(t *testing.T) {
	b := newBench(t, smallParts)
	b.mustPut("src", "source")
	meta := map[string]string{"sandbox-write": "w"}
	if _, err := b.store.Copy(t.Context(), CopyRequest{SrcKey: "src", DstKey: "k", Metadata: meta}); err != nil {
		t.Fatal(err)
	}
	const failed = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n<Error><Code>InternalError</Code><Message>m</Message></Error>"
	b.fault("COPY", 1, testbed.Answer(200, nil, failed))
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "COPY"}, After: 1, Times: 1, Do: testbed.Refuse(412, "PreconditionFailed")})
	o, err := b.store.Copy(t.Context(), CopyRequest{SrcKey: "src", DstKey: "k", Condition: Condition{IfNoneMatch: true}, Metadata: meta})
	if err != nil || !o.Ambiguous {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestBrokenBody: a body that breaks off is continued, of the same version, and checked as a whole.
func TestBrokenBody(t *testing.T) {
	b := newBench(t)
	body := content(1 << 20)
	o, err := b.store.Put(t.Context(), "k", bytes.NewReader(body), int64(len(body)), PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]testbed.Action{"reset": testbed.ResetResponse(100_000), "truncated": testbed.Truncate(100_000)} {
		t.Run(name, func(t *testing.T) {
			b.proxy.Forget()
			b.fault("GET", 3, do)
			got, err := b.get("k", GetOptions{})
			if err != nil || got != string(body) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			reqs := b.proxy.Requests()
			if len(reqs) != 4 {
				t.Fatalf("%d requests", len(reqs))
			}
			for _, r := range reqs[1:] {
				if r.Header.Get("Range") == "" || r.Header.Get("If-Match") != quote(o.ETag) {
					t.Errorf("continued without Range or If-Match: %v", r.Header)
				}
			}
		})
	}
	t.Run("another version meanwhile", func(t *testing.T) {
		r, err := b.store.Get(t.Context(), "k", GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		f := b.fault("GET", 1, testbed.ResetResponse(100_000))
		r, err = b.store.Get(t.Context(), "k", GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b.bucket.Put("k", "another", nil)
		_, err = io.ReadAll(r)
		if f.Hits() != 1 || !errors.Is(err, ErrPrecondition) {
			t.Errorf("%v; want ErrPrecondition, never a mix", err)
		}
	})
	t.Run("it never gets through", func(t *testing.T) {
		b.bucket.Put("k", string(body), nil)
		s := open(t, b.proxy.Config(b.bucket), b.bucket.Credentials(), func(o *Options) { o.Patience = 300 * time.Millisecond })
		b.fault("GET", 1, testbed.ResetResponse(100_000))
		r, err := s.Get(t.Context(), "k", GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer b.fault("GET", 0, testbed.ResetBefore()).Remove()
		_, err = io.ReadAll(r)
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v", err)
		}
	})
	t.Run("closed early", func(t *testing.T) {
		r, err := b.store.Get(t.Context(), "k", GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(r, make([]byte, 10))
		r.Close()
		if _, err := r.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("read after Close: %v", err)
		}
	})
}

// TestStalled: a connection that moves nothing is given up, in each direction, and the request sent anew.
func TestStalled(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Stall = 300 * time.Millisecond })
	body := content(1 << 20)
	b.bucket.Put("k", string(body), nil)
	b.fault("GET", 1, testbed.Stall())
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "GET"}, After: 1, Times: 1, Do: testbed.StallResponse(100_000)})
	b.fault("PUT", 1, testbed.Stall())
	if got, err := b.get("k", GetOptions{}); err != nil || got != string(body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := b.proxy.Count("GET"); n != 3 {
		t.Errorf("%d GETs, want three: no answer, half a body, the rest", n)
	}
	if _, err := b.put("w", "x", PutOptions{}); err != nil {
		t.Error(err)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	b := newBench(t)
	b.bucket.Put("k", "x", nil)
	b.fault("GET", 1, testbed.RefuseWith(503, "SlowDown", map[string]string{"Retry-After": "1"}))
	start := time.Now()
	if _, err := b.get("k", GetOptions{}); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d < time.Second { // a lower bound
		t.Errorf("asked again after %v", d)
	}
	// A wait that would go past the deadline is not begun.
	b.fault("GET", 1, testbed.RefuseWith(503, "SlowDown", map[string]string{"Retry-After": "3600"}))
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	r, err := b.store.Get(ctx, "k", GetOptions{})
	if err == nil {
		r.Close()
	}
	b.want(err, ErrUnavailable)
	if ctx.Err() != nil {
		t.Error("it waited for the deadline")
	}
}

func TestPauses(t *testing.T) {
	now := time.Now()
	p := newPause(now.Add(time.Hour))
	var bound []time.Duration
	for range 12 {
		bound = append(bound, p.bound)
		if d, ok := p.next(now, false, 0); !ok || d < 0 || d > pauseMost {
			t.Fatalf("%v, %v", d, ok)
		}
	}
	if bound[0] != pauseFirst || bound[1] != 2*pauseFirst || bound[11] != pauseMost {
		t.Errorf("bounds %v", bound)
	}
	if d, ok := p.next(now, false, 30*time.Second); !ok || d < 30*time.Second {
		t.Errorf("Retry-After: %v, %v", d, ok)
	}
	if _, ok := p.next(now, false, 2*time.Hour); ok {
		t.Error("a Retry-After past the deadline")
	}
	if _, ok := p.next(now.Add(time.Hour), false, 0); ok {
		t.Error("past the deadline")
	}
	if d, ok := p.next(now.Add(time.Hour-time.Second), false, 0); !ok || d > 500*time.Millisecond {
		t.Errorf("a second before the deadline: %v, %v", d, ok)
	}
	q := newPause(now.Add(time.Hour))
	q.next(now, true, 0)
	if q.bound != 2*pauseThrottled {
		t.Errorf("after SlowDown: %v", q.bound)
	}
	for v, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "100000": time.Minute, now.Add(30 * time.Second).UTC().Format(http.TimeFormat): 29 * time.Second} {
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got < want || got > want+time.Second {
			t.Errorf("Retry-After %q: %v", v, got)
		}
	}
}

// TestPatience: a call ends, with a deadline and without one.
func TestPatience(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Patience = 200 * time.Millisecond })
	b.fault("", 0, testbed.Refuse(500, "InternalError"))
	_, err := b.put("k", "x", PutOptions{})
	b.want(err, ErrUnavailable)
	if !strings.Contains(err.Error(), "InternalError") {
		t.Errorf("the error does not say what was in the way: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	_, err = b.store.Head(ctx, "k")
	b.want(err, ErrUnavailable)
}

// TestAway: the store is gone for a while, and comes back at the same address, TCP and unix.
func TestAway(t *testing.T) {
	for _, unix := range []bool{false, true} {
		t.Run(fmt.Sprint("unix ", unix), func(t *testing.T) {
			b := newBench(t)
			if unix {
				c := b.proxy.Config(b.bucket)
				c.Endpoint = b.proxy.Socket
				b.store = open(t, c, b.bucket.Credentials())
			}
			b.mustPut("before", "x")
			b.proxy.Away()
			done := make(chan error, 1)
			started := make(chan struct{})
			go func() {
				close(started)
				_, err := b.put("during", "y", PutOptions{})
				done <- err
			}()
			<-started
			for b.store.counts[verbPut].Load() < 4 { // it has tried some times in vain
				select {
				case err := <-done:
					t.Fatal("it ended while the store was away:", err)
				case <-time.After(time.Millisecond):
				}
			}
			b.proxy.Back()
			if err := <-done; err != nil {
				t.Error(err)
			}
			b.bucket.Want("during", "y")
		})
	}
}

// TestAwayIsTold: what does not pass is told while it is still being tried, from its beginning.
func TestAwayIsTold(t *testing.T) {
	b := newBench(t)
	if since, err := b.store.Away(); err != nil || !since.IsZero() {
		t.Errorf("before the first request: since %v, %v", since, err)
	}
	b.proxy.Away()
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := b.store.Head(ctx, "k"); done <- err }()
	var first time.Time
	for attempts := int64(0); attempts < 3; attempts = b.store.Requests()["HEAD"] {
		since, err := b.store.Away()
		if err == nil {
			continue
		}
		if first.IsZero() {
			first = since
		}
		if since != first || since.Before(began) {
			t.Fatalf("away since %v, then since %v", first, since)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Head: %v", err)
	}
	b.proxy.Back()
	if _, err := b.put("k", "body", PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if since, err := b.store.Away(); err != nil || !since.IsZero() {
		t.Errorf("with an answer: since %v, %v", since, err)
	}
}

// TestRefusalIsAnAnswer: a store that refuses is there.
func TestRefusalIsAnAnswer(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Patience = time.Millisecond }) // one attempt, then it fails
	for name, refusal := range map[string]testbed.Action{
		"not found": testbed.Refuse(404, "NoSuchKey"), "denied": testbed.Refuse(403, "AccessDenied"), "a condition": testbed.Refuse(412, "PreconditionFailed"),
		"something in the way": testbed.Refuse(409, "ExistingObjectIsDirectory"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, answer := range []struct {
				do   testbed.Action
				away bool
			}{{testbed.Refuse(500, "InternalError"), true}, {refusal, false}} {
				b.fault("GET", 1, answer.do)
				if _, err := b.get("k", GetOptions{}); err == nil {
					t.Fatal("no error")
				}
				if _, err := b.store.Away(); (err != nil) != answer.away {
					t.Errorf("away: %v, want %v", err, answer.away)
				}
			}
		})
	}
}
