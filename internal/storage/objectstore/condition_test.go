package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
)

// conditional is a Store that relies on what the embedded server honours: all but the condition on
// the destination of a copy.
func (b *bench) probe() Conditional {
	b.Helper()
	c, err := b.store.Probe(b.Context(), "users/u/.sandbox/probe-")
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func TestProbe(t *testing.T) {
	strip := func(verb string) func(*bench) {
		return func(b *bench) { b.fault(verb, 0, testbed.StripConditions()) }
	}
	for name, c := range map[string]struct {
		arrange func(*bench)
		want    []string
	}{
		"the embedded server":             {func(*bench) {}, strings.Fields(contract.HostStoreEmbedded)}, // or a host tells an untruth
		"no conditions at all":            {strip(""), []string{}},
		"none on PUT":                     {strip("PUT"), []string{"DELETE", "COMPLETE"}},
		"none on DELETE":                  {strip("DELETE"), []string{"PUT", "COMPLETE"}},
		"none on COMPLETE":                {strip("COMPLETE"), []string{"PUT", "DELETE"}},
		"only If-None-Match on PUT":       {func(b *bench) { b.fault("PUT", 0, testbed.StripHeaders("If-Match")) }, []string{"DELETE", "COMPLETE"}},
		"only If-Match on PUT":            {func(b *bench) { b.fault("PUT", 0, testbed.StripHeaders("If-None-Match")) }, []string{"DELETE", "COMPLETE"}},
		"PUT says 501 to a condition":     {func(b *bench) { notImplemented(b, "PUT") }, []string{"DELETE", "COMPLETE"}},
		"DELETE says 501 to a condition":  {func(b *bench) { notImplemented(b, "DELETE") }, []string{"PUT", "COMPLETE"}},
		"DELETE refuses every condition":  {func(b *bench) { always412(b, "DELETE") }, []string{"PUT", "COMPLETE"}},
		"PUT refuses every If-Match":      {func(b *bench) { always412(b, "PUT") }, []string{"DELETE", "COMPLETE"}},
		"a reset now and then is no sign": {func(b *bench) { b.fault("", 6, testbed.ResetBefore()) }, []string{"PUT", "DELETE", "COMPLETE"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.arrange(b)
			if got := b.probe().Verbs(); !slices.Equal(got, c.want) {
				t.Errorf("honoured: %q, want %q", got, c.want)
			}
			b.proxy.ClearFaults()
			if left := b.bucket.Keys(""); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
			if u := b.bucket.Uploads(); len(u) != 0 {
				t.Errorf("uploads left behind: %v", u)
			}
			if n := b.proxy.Count(""); n > 45 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func notImplemented(b *bench, verb string) {
	for _, h := range []string{"If-Match", "If-None-Match"} {
		b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: verb, Header: h}, Do: testbed.Refuse(501, "NotImplemented")})
	}
}

func always412(b *bench, verb string) {
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: verb, Header: "If-Match"}, Do: testbed.Refuse(412, "PreconditionFailed")})
}

// TestProbeFails where it cannot find out, and then nothing is relied upon that is not known.
func TestProbeFails(t *testing.T) {
	b := newBench(t)
	b.fault("PUT", 0, testbed.Refuse(403, "AccessDenied"))
	_, err := b.store.Probe(t.Context(), "p/")
	b.want(err, ErrAccessDenied)
}

// TestConditions is each condition on each verb, on a store that honours them and on one that
// does not, where the Store looks first. The outcome is the same.
func TestConditions(t *testing.T) {
	for _, honoured := range []bool{true, false} {
		t.Run(fmt.Sprint("honoured ", honoured), func(t *testing.T) {
			b := newBench(t, smallParts)
			if !honoured {
				b.fault("", 0, testbed.StripConditions())
			}
			b.probe()
			large := content(minPart + 1)
			write := map[string]func(key string, c Condition) (Object, error){
				"PUT": func(key string, c Condition) (Object, error) { return b.put(key, "new", PutOptions{Condition: c}) },
				"COMPLETE": func(key string, c Condition) (Object, error) {
					return b.store.Put(t.Context(), key, bytes.NewReader(large), int64(len(large)), PutOptions{Condition: c})
				},
				"COPY": func(key string, c Condition) (Object, error) {
					src := b.mustPut("src", "new")
					return b.store.Copy(t.Context(), CopyRequest{SrcKey: "src", SrcETag: src.ETag, DstKey: key, Condition: c})
				},
				"DELETE": func(key string, c Condition) (Object, error) {
					return Object{}, b.store.Delete(t.Context(), key, c)
				},
			}
			for verb, do := range write {
				there := b.bucket.Put("there", "old", nil)
				unless := func(err error, want bool, what string) {
					t.Helper()
					if want != (err == nil) || !want && !errors.Is(err, ErrPrecondition) {
						t.Errorf("%s, %s: %v", verb, what, err)
					}
				}
				if verb != "DELETE" {
					_, err := do("there", Condition{IfNoneMatch: true})
					unless(err, false, "If-None-Match on what is there")
					b.bucket.Want("there", "old")
				}
				_, err := do("there", Condition{IfMatch: "0123456789abcdef0123456789abcdef"})
				unless(err, false, "If-Match of another version")
				b.bucket.Want("there", "old")
				o, err := do("there", Condition{IfMatch: there})
				unless(err, true, "If-Match of this version")
				stored, ok := b.bucket.Get("there")
				if ok != (verb != "DELETE") || ok && (string(stored.Body) == "old" || stored.ETag != o.ETag) {
					t.Errorf("%s: stored %v %.20q %s, %+v", verb, ok, stored.Body, stored.ETag, o)
				}
				b.bucket.Delete("there")

				if verb == "DELETE" {
					_, err = do("none", Condition{IfMatch: there})
					unless(err, true, "what is not there is deleted")
					continue
				}
				_, err = do("none", Condition{IfMatch: there})
				if err == nil || !errors.Is(err, ErrPrecondition) && !errors.Is(err, ErrNotFound) {
					t.Errorf("%s, If-Match on nothing: %v", verb, err)
				}
				b.bucket.WantNone("none")
				_, err = do("none", Condition{IfNoneMatch: true})
				unless(err, true, "If-None-Match on nothing")
				b.bucket.Delete("none")
			}
			src := b.mustPut("src", "source")
			_, err := b.store.Copy(t.Context(), CopyRequest{SrcKey: "src", SrcETag: "0123456789abcdef0123456789abcdef", DstKey: "dst"})
			b.want(err, ErrPrecondition)
			b.bucket.WantNone("dst")
			if _, err := b.store.Copy(t.Context(), CopyRequest{SrcKey: "src", SrcETag: src.ETag, DstKey: "dst"}); err != nil {
				t.Error(err)
			}
			if u := b.bucket.Uploads(); len(u) != 0 {
				t.Errorf("uploads left over: %v", u)
			}
		})
	}
}

// TestRaces: of many writers with the same condition one wins, and its content is what is there.
func TestRaces(t *testing.T) {
	b := newBench(t, smallParts)
	b.probe()
	race := func(name string, n int, do func(i int) error) (winner int) {
		var wins atomic.Int32
		var won atomic.Int32
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				<-start
				err := do(i)
				switch {
				case err == nil:
					wins.Add(1)
					won.Store(int32(i))
				case !errors.Is(err, ErrPrecondition):
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		close(start)
		wg.Wait()
		if wins.Load() != 1 {
			t.Errorf("%s: %d winners", name, wins.Load())
		}
		return int(won.Load())
	}
	body := func(i int) string { return fmt.Sprintf("writer %02d", i) }
	for round := range 5 {
		key := fmt.Sprint("k", round)
		w := race("create", 32, func(i int) error {
			_, err := b.put(key, body(i), PutOptions{Condition: Condition{IfNoneMatch: true}})
			return err
		})
		b.bucket.Want(key, body(w))
		o, err := b.store.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		w = race("replace", 32, func(i int) error {
			_, err := b.put(key, body(i)+" again", PutOptions{Condition: Condition{IfMatch: o.ETag}})
			return err
		})
		b.bucket.Want(key, body(w)+" again")
	}
	large := content(minPart + 1)
	w := race("complete", 4, func(i int) error {
		mine := slices.Clone(large)
		mine[0] = byte(i)
		_, err := b.store.Put(t.Context(), "large", bytes.NewReader(mine), int64(len(mine)), PutOptions{Condition: Condition{IfNoneMatch: true}})
		return err
	})
	if o, _ := b.bucket.Get("large"); len(o.Body) != len(large) || o.Body[0] != byte(w) {
		t.Errorf("large: %d bytes of writer %d, and %d won", len(o.Body), o.Body[0], w)
	}
}

// TestCancelledWrite: a write whose context ends while it is in flight says so; whether
// it arrived is open, and the condition of the next one decides.
func TestCancelledWrite(t *testing.T) {
	b := newBench(t)
	b.probe()
	g := testbed.HoldAnswer()
	b.fault("PUT", 1, g)
	ctx, cancel := context.WithCancelCause(t.Context())
	lost := errors.New("the lease is lost")
	done := make(chan error)
	go func() {
		_, err := b.store.Put(ctx, "k", strings.NewReader("in flight"), 9, PutOptions{Condition: Condition{IfNoneMatch: true}})
		done <- err
	}()
	<-g.Arrived()
	cancel(lost)
	if err := <-done; !errors.Is(err, lost) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	_, err := b.put("k", "next", PutOptions{Condition: Condition{IfNoneMatch: true}})
	b.want(err, ErrPrecondition)
	b.bucket.Want("k", "in flight")
}
