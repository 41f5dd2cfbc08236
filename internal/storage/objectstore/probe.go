package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"
)

// noVersion is an ETag that no object has: not the MD5 of anything, by its length.
const noVersion = "00000000000000000000000000000000000"

// Probe finds out which conditions the store honours, each verb by itself, with conditions that
// must fail and such that must not on objects of its own, whose keys begin with prefix, and removes those. A
// probe that was killed leaves some. From then
// on the Store does not rely on the others: it looks with a HEAD before it acts. It also finds
// out in which form ETags are compared, and whether checksums are verified. Some seventeen
// requests, three round trips one after the other; none where the host has said it, see hear. Whether the store keeps
// backslashes is tried later, by a first key that has one. Check has to come first: some stores make the bucket that is written to.
func (s *Store) Probe(ctx context.Context, prefix string) (Conditional, error) {
	s.backslashes.prefix.Store(&prefix)
	if c := s.told.Load(); c != nil {
		s.conditional.Store(c)
		return *c, nil
	}
	s.conditional.Store(&Conditional{Put: true, Delete: true, Copy: true, Complete: true}) // send them all
	s.dialect.bareETags.Store(false)
	p := &prober{Store: s, base: prefix + rand.Text() + "-", written: map[string]bool{}}
	var c Conditional
	first := []probe{{"put", p.put, &c.Put}, {"delete", p.delete, &c.Delete}, {"copy", p.copy, &c.Copy}, {"complete", p.complete, &c.Complete}, {"checksum", p.checksum, new(bool)}}
	err := p.run(ctx, first)
	if err == nil && s.dialect.bareETags.Load() { // the others were asked in the form that is not understood
		err = p.run(ctx, first[1:4])
	}
	if err != nil {
		return Conditional{}, fmt.Errorf("finding out which conditions the store honours: %w", err)
	}
	s.conditional.Store(&c)
	return c, nil
}

// probe finds out about one verb, on objects whose keys begin with key.
type probe struct {
	name string
	run  func(ctx context.Context, key string) (bool, error)
	ok   *bool
}

// prober asks with conditions that must fail: on a store that ignores them they change
// nothing but its own objects.
type prober struct {
	*Store
	base string

	mu      sync.Mutex
	written map[string]bool // keys of which there may be an object
}

func (p *prober) run(ctx context.Context, probes []probe) error {
	var g errgroup.Group // one that fails cancels none: a write that is cut off may have arrived
	for _, probe := range probes {
		g.Go(func() (err error) {
			*probe.ok, err = probe.run(ctx, p.base+probe.name)
			return err
		})
	}
	err := g.Wait()
	p.remove(ctx)
	return err
}

var probeBody = []byte("written by sandbox-init to see which conditions this store honours; safe to remove\n")

// write writes under a condition that the store itself must judge.
func (p *prober) write(ctx context.Context, key string, c Condition) (Object, error) {
	c.Atomic = true
	o, err := p.Put(ctx, key, bytes.NewReader(probeBody), int64(len(probeBody)), PutOptions{Condition: c})
	p.note(key, err)
	return o, err
}

// note keeps in mind that a write may have left an object, unless the store has refused it.
func (p *prober) note(key string, err error) {
	if e, ok := errors.AsType[*Error](err); ok && e.Status >= 400 && e.Status < 500 || errors.Is(err, ErrUnsupported) {
		return
	}
	p.mu.Lock()
	p.written[key] = true
	p.mu.Unlock()
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

func (p *prober) put(ctx context.Context, key string) (bool, error) {
	o, err := p.write(ctx, key, Condition{IfNoneMatch: true})
	if ok, err := held(err); !ok {
		return false, err
	}
	noneMatch := func() error { _, err := p.write(ctx, key, Condition{IfNoneMatch: true}); return err }
	match := func() error { _, err := p.write(ctx, key, Condition{IfMatch: noVersion}); return err }
	if ok, err := failed(both(noneMatch, match)); !ok {
		return false, err
	}
	_, err = p.write(ctx, key, Condition{IfMatch: o.ETag})
	if !errors.Is(err, ErrPrecondition) {
		return held(err)
	}
	// It may compare the header with the bare ETag.
	p.dialect.bareETags.Store(true)
	_, err = p.write(ctx, key, Condition{IfMatch: o.ETag})
	ok, err := held(err)
	if ok {
		ok, err = failed(match())
	}
	p.dialect.bareETags.Store(ok)
	return ok, err
}

func (p *prober) delete(ctx context.Context, key string) (bool, error) {
	o, err := p.write(ctx, key, Condition{})
	if err != nil {
		return false, err
	}
	if ok, err := failed(p.Delete(ctx, key, Condition{IfMatch: noVersion, Atomic: true})); !ok {
		return false, err
	}
	return held(p.Delete(ctx, key, Condition{IfMatch: o.ETag, Atomic: true}))
}

// copy tries the conditions on the source and on the destination; the verb counts as conditional
// when both are honoured.
func (p *prober) copy(ctx context.Context, key string) (bool, error) {
	dst := key + "-to"
	o, err := p.write(ctx, key, Condition{})
	if err != nil {
		return false, err
	}
	try := func(etag string, c Condition) error {
		_, err := p.Copy(ctx, CopyRequest{SrcKey: key, SrcETag: etag, DstKey: dst, Condition: c})
		p.note(dst, err)
		return err
	}
	if ok, err := failed(try(noVersion, Condition{IfNoneMatch: true})); !ok {
		return false, err
	}
	if ok, err := held(try(o.ETag, Condition{IfNoneMatch: true})); !ok {
		return false, err
	}
	return failed(both(
		func() error { return try(o.ETag, Condition{IfNoneMatch: true}) },
		func() error { return try(o.ETag, Condition{IfMatch: noVersion}) },
	))
}

func (p *prober) complete(ctx context.Context, key string) (bool, error) {
	if _, err := p.write(ctx, key, Condition{}); err != nil {
		return false, err
	}
	try := func(c Condition) error {
		c.Atomic = true
		size := int64(len(probeBody))
		u := &upload{store: p.Store, key: key, body: bytes.NewReader(probeBody), parts: cutMust(size, size), md5: p.dialect.md5.Load(), form: p.dialect.checksums.Load()}
		_, err := u.run(ctx, size, PutOptions{Condition: c})
		if err != nil && u.id != "" {
			u.abandon(ctx)
		}
		return err
	}
	return failed(both(
		func() error { return try(Condition{IfNoneMatch: true}) },
		func() error { return try(Condition{IfMatch: noVersion}) },
	))
}

// checksum sends a body with a checksum that is not its own. A store that takes it verifies none
// of that kind; Content-MD5 is older.
func (p *prober) checksum(ctx context.Context, key string) (verified bool, err error) {
	body := bytes.NewReader(probeBody)
	wrong := func(md5 bool) error {
		r := &request{verb: verbPut, method: http.MethodPut, key: key, body: body, size: body.Size(), once: true}
		sum, err := p.sumsOf(body, 0, body.Size(), md5)
		if err != nil {
			return err
		}
		other := sums{crc: ^sum.crc, sha256: sum.sha256}
		if md5 {
			other.md5 = emptyMD5
		}
		other.set(r)
		_, err = p.do(ctx, r)
		p.note(key, err)
		return err
	}
	for _, md5 := range []bool{p.dialect.md5.Load(), true} {
		if err = wrong(md5); err == nil {
			p.dialect.untrusted.Store(true)
			continue
		}
		if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrUnsupported) && (e.Status < 400 || e.Status >= 500 || errors.Is(e.kind, ErrAccessDenied)) {
			return false, err
		}
		if md5 && !p.dialect.md5.Swap(md5) {
			p.log.Warn("the store does not verify x-amz-checksum-crc32c; uploads carry Content-MD5", "event", "s3_checksum_ignored")
		}
		return true, nil
	}
	p.log.Warn("the store verifies no checksum of an upload: a body that is damaged on the way is stored damaged", "event", "s3_unverified")
	return false, nil
}

// emptyMD5 is the Content-MD5 of no body.
const emptyMD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="

// both does two things at a time.
func both(a, b func() error) (errA, errB error) {
	var wg sync.WaitGroup
	wg.Go(func() { errA = a() })
	wg.Go(func() { errB = b() })
	wg.Wait()
	return errA, errB
}

// remove removes what the probes may have written.
func (p *prober) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	var removals sync.WaitGroup
	for key := range p.written {
		removals.Go(func() {
			if err := p.Delete(ctx, key, Condition{}); err != nil {
				p.log.Warn("an object that was written to try out the store could not be removed", "event", "s3_probe_left", "key", key, "error", err.Error())
			}
		})
	}
	removals.Wait()
	clear(p.written)
}
