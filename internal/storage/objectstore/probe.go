package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Conditional says for which verbs the store honours If-Match and If-None-Match.
type Conditional struct{ Put, Delete, Copy, Complete bool }

// Verbs are the names of those that are honoured, as contract.StoreStatus has them.
func (c Conditional) Verbs() []string {
	v := []string{}
	for _, x := range []struct {
		ok   bool
		name string
	}{{c.Put, "PUT"}, {c.Delete, "DELETE"}, {c.Copy, "COPY"}, {c.Complete, "COMPLETE"}} {
		if x.ok {
			v = append(v, x.name)
		}
	}
	return v
}

// Conditional is what Probe found; before it, what every store should honour.
func (s *Store) Conditional() Conditional { return *s.conditional.Load() }

// ProbePrefix is what the keys of Probe's own objects begin with, below the prefix that it is
// given. One that was killed leaves some.
const ProbePrefix = "probe-"

// noVersion is an ETag that no object has: not the MD5 of anything, by its length.
const noVersion = "00000000000000000000000000000000000"

// Probe finds out which conditions the store honours, each verb by itself, with conditions that
// must fail on objects of its own below prefix, and removes those. From then on the Store
// does not rely on the others: it looks with a HEAD before it acts. Some fifteen
// requests, three round trips one after the other.
func (s *Store) Probe(ctx context.Context, prefix string) (Conditional, error) {
	base := prefix + ProbePrefix + rand.Text() + "-"
	s.conditional.Store(&Conditional{Put: true, Delete: true, Copy: true, Complete: true}) // send them all
	p := prober{s}
	var c Conditional
	g, gctx := errgroup.WithContext(ctx)
	for _, probe := range []struct {
		name string
		run  func(ctx context.Context, key string) (bool, error)
		ok   *bool
	}{
		{"put", p.put, &c.Put}, {"delete", p.delete, &c.Delete}, {"copy", p.copy, &c.Copy}, {"complete", p.complete, &c.Complete},
	} {
		g.Go(func() (err error) {
			key := base + probe.name
			*probe.ok, err = probe.run(gctx, key)
			p.remove(ctx, key)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Conditional{}, fmt.Errorf("finding out which conditions the store honours: %w", err)
	}
	s.conditional.Store(&c)
	return c, nil
}

// prober asks with conditions that must fail: on a store that ignores them they change
// nothing but its own objects.
type prober struct{ *Store }

var probeBody = []byte("written by sandbox-init to see which conditions this store honours; safe to remove\n")

func (p prober) write(ctx context.Context, key string, c Condition) (Object, error) {
	return p.Put(ctx, key, bytes.NewReader(probeBody), int64(len(probeBody)), PutOptions{Condition: c})
}

// failed reads the answers to requests whose condition cannot hold.
func failed(errs ...error) (bool, error) {
	for _, err := range errs {
		switch {
		case errors.Is(err, ErrPrecondition):
		case err == nil, errors.Is(err, ErrUnsupported), errors.Is(err, ErrInvalid):
			return false, nil
		default:
			return false, err
		}
	}
	return true, nil
}

// held reads the answer to a request whose condition does hold: some stores refuse those too.
func held(err error) (bool, error) {
	if err == nil {
		return true, nil
	}
	if errors.Is(err, ErrPrecondition) || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrInvalid) {
		return false, nil
	}
	return false, err
}

func (p prober) put(ctx context.Context, key string) (bool, error) {
	o, err := p.write(ctx, key, Condition{IfNoneMatch: true})
	if ok, err := held(err); !ok {
		return false, err
	}
	err1, err2 := both(
		func() error { _, err := p.write(ctx, key, Condition{IfNoneMatch: true}); return err },
		func() error { _, err := p.write(ctx, key, Condition{IfMatch: noVersion}); return err },
	)
	if ok, err := failed(err1, err2); !ok {
		return false, err
	}
	_, err = p.write(ctx, key, Condition{IfMatch: o.ETag})
	return held(err)
}

func (p prober) delete(ctx context.Context, key string) (bool, error) {
	o, err := p.write(ctx, key, Condition{})
	if err != nil {
		return false, err
	}
	if ok, err := failed(p.Delete(ctx, key, Condition{IfMatch: noVersion})); !ok {
		return false, err
	}
	return held(p.Delete(ctx, key, Condition{IfMatch: o.ETag}))
}

// copy tries the conditions on the source and on the destination; the verb counts as conditional
// when both are honoured.
func (p prober) copy(ctx context.Context, key string) (bool, error) {
	dst := key + "-to"
	defer p.remove(ctx, dst)
	o, err := p.write(ctx, key, Condition{})
	if err != nil {
		return false, err
	}
	try := func(etag string, c Condition) error {
		_, err := p.Copy(ctx, CopyRequest{SrcKey: key, SrcETag: etag, DstKey: dst, Condition: c})
		return err
	}
	if ok, err := failed(try(noVersion, Condition{IfNoneMatch: true})); !ok {
		return false, err
	}
	if ok, err := held(try(o.ETag, Condition{IfNoneMatch: true})); !ok {
		return false, err
	}
	err1, err2 := both(
		func() error { return try(o.ETag, Condition{IfNoneMatch: true}) },
		func() error { return try(o.ETag, Condition{IfMatch: noVersion}) },
	)
	return failed(err1, err2)
}

func (p prober) complete(ctx context.Context, key string) (bool, error) {
	if _, err := p.write(ctx, key, Condition{}); err != nil {
		return false, err
	}
	try := func(c Condition) error {
		size := int64(len(probeBody))
		u := &upload{store: p.Store, key: key, body: bytes.NewReader(probeBody), parts: cutMust(size, size), md5: p.md5.Load()}
		_, err := u.run(ctx, size, PutOptions{Condition: c})
		if err != nil && u.id != "" {
			u.abandon(ctx)
		}
		return err
	}
	err1, err2 := both(
		func() error { return try(Condition{IfNoneMatch: true}) },
		func() error { return try(Condition{IfMatch: noVersion}) },
	)
	return failed(err1, err2)
}

// both does two things at a time.
func both(a, b func() error) (errA, errB error) {
	var wg sync.WaitGroup
	wg.Go(func() { errA = a() })
	wg.Go(func() { errB = b() })
	wg.Wait()
	return errA, errB
}

func (p prober) remove(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	if err := p.Delete(ctx, key, Condition{}); err != nil {
		p.log.Warn("an object that was written to try out the store could not be removed", "event", "s3_probe_left", "key", key, "error", err.Error())
	}
}
