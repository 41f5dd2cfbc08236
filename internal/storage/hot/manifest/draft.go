package manifest

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// draft writes the manifest of the journal as it is now, with a new bundle if it pays
// and can be had, else with what is still good of the present one. It leaves out the paths of which a write may still
// arrive: another attempt than the one that the journal knows may have given the object its attributes.
func (p *Publisher) draft(ctx context.Context, unresolved map[string]journal.Intent) (*draft, error) {
	keys := make([]string, 0, p.o.Journal.Len())
	for e := range p.o.Journal.All() {
		if _, open := unresolved[e.Path]; e.ETag != "" && !open {
			keys = append(keys, e.Key)
		}
	}
	slices.Sort(keys)
	t := p.tally(keys)
	if limit, pays := t.pays(); pays && p.affordable(ctx, t, limit) {
		d, err := p.compose(ctx, keys, limit)
		if err == nil {
			return d, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		p.o.Log.Warn("no new bundle was written: the next start takes longer", "event", "bundle_not_written", "error", err)
	}
	return p.compose(ctx, keys, 0)
}

// tally counts what a bundle holds and could hold.
type tally struct {
	bundled      int   // entries whose content the present bundle has
	bundledBytes int64 //
	deadBytes    int64 // of the present bundle that no entry is any more
	files        [contentClasses]int
	bytes        [contentClasses]int64
	exists       bool
}

// contentClasses are the sizes up to contentMax, contentMax/2, ... that a bundle can
// be limited to.
const contentClasses = 8

func (p *Publisher) tally(keys []string) (t tally) {
	was := p.current.From(0)
	if p.current != nil && p.current.Bundle != nil {
		t.exists = true
		t.deadBytes = p.current.Bundle.Size
	}
	for _, key := range keys {
		e, ok := p.entry(key)
		if !ok {
			continue
		}
		if w, _ := was.Find(key); reusable(w, &e) {
			t.bundled++
			t.bundledBytes += e.Size
		}
		for c := range contentClasses {
			if bundleable(&e, contentMax>>c) {
				t.files[c]++
				t.bytes[c] += e.Size
			}
		}
	}
	t.deadBytes -= t.bundledBytes
	return t
}

// entry is the journal's entry of a key, if there still is one.
func (p *Publisher) entry(key string) (journal.Entry, bool) {
	path, _, err := posixattr.Path(key)
	if err != nil {
		return journal.Entry{}, false
	}
	e, ok := p.o.Journal.Get(path)
	return e, ok && e.Key == key && e.ETag != ""
}

// reusable says that the bundle's content of w is that of e.
func reusable(w *Entry, e *journal.Entry) bool {
	return w != nil && w.Bundled && w.Size == e.Size && w.SHA256 == e.SHA256
}

// pays decides on a new bundle, and up to which size of content: when a tenth of what
// could be in it is not in the present one, or half of that is dead.
func (t *tally) pays() (limit int64, pays bool) {
	for c := range contentClasses {
		if t.bytes[c] > bundleMax {
			continue
		}
		if t.files[c] < bundleMin {
			return 0, false
		}
		missing := t.files[c] - t.bundled
		stale := !t.exists || missing*dueShare >= t.files[c] && missing >= bundleMin || t.deadBytes*2 > t.bundledBytes+t.deadBytes
		return contentMax >> c, stale
	}
	return 0, false
}

// The pace at which a bundle is taken to go up when there is a deadline: slow, since
// what is begun and does not arrive is time taken from nothing but patience.
const (
	assumedPace  = 16 << 20 // bytes a second
	assumedStart = 2 * time.Second
)

func (p *Publisher) affordable(ctx context.Context, t tally, limit int64) bool {
	var size int64
	for c := range contentClasses {
		if contentMax>>c == limit {
			size = t.bytes[c]
		}
	}
	if deadline, ok := ctx.Deadline(); ok {
		need := assumedStart + time.Duration(size/assumedPace)*time.Second
		if left := time.Until(deadline); left < need {
			p.o.Log.Info("no time for a new bundle: the next start takes longer", "event", "bundle_skipped", "bytes", size, "left", left)
			return false
		}
	}
	if err := os.MkdirAll(p.o.Dir, 0o700); err != nil || !room(p.o.Dir, size) {
		p.o.Log.Warn("no room for a new bundle: the next start takes longer", "event", "bundle_skipped", "bytes", size, "dir", p.o.Dir)
		return false
	}
	return true
}

// compose writes a draft: with a new bundle of contents up to limit, or with the present
// one when limit is 0.
func (p *Publisher) compose(ctx context.Context, keys []string, limit int64) (*draft, error) {
	file, err := unnamed(p.o.Dir, "manifest")
	if err != nil {
		return nil, err
	}
	d, err := p.fill(ctx, file, keys, limit)
	if err != nil {
		file.Close()
		return nil, err
	}
	return d, nil
}

func (p *Publisher) fill(ctx context.Context, file *os.File, keys []string, limit int64) (*draft, error) {
	// An object's attributes change without its ETag. One that was last modified before this moment
	// has those of its entry; of any later one the reader asks S3, unless the manifest is sealed.
	asOf := p.o.Store.ServerDate()
	d := &draft{file: file}
	out := &buffered{to: file}
	w := NewWriter(out)
	var s *spool
	if limit > 0 {
		var err error
		if s, err = newSpool(p.o.Dir); err != nil {
			return nil, err
		}
		defer s.close()
	}
	r := &reader{root: p.o.Root}
	defer r.close()
	was := p.current.From(0)
	for i, key := range keys {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		j, ok := p.entry(key)
		if !ok {
			continue
		}
		e := Entry{Key: j.Key, ETag: j.ETag, Size: j.Size, Mode: j.Mode, Mtime: j.Mtime, SHA256: j.SHA256, Hashed: j.SHA256 != [32]byte{}}
		before, _ := was.Find(key)
		if err := p.place(&e, &j, before, s, r, limit); err != nil {
			return nil, err
		}
		if e.Bundled {
			d.published.Bundled++
		}
		if err := w.Add(&e); err != nil {
			return nil, err
		}
		d.published.Entries++
	}
	bundle := (*Bundle)(nil)
	switch {
	case s != nil:
		var err error
		if bundle, err = p.putBundle(ctx, s); err != nil {
			return nil, err
		}
		d.published.NewBundle, d.published.BundleBytes = true, bundle.Size
	case p.current != nil && d.published.Bundled > 0:
		bundle = p.current.Bundle
	}
	if err := errors.Join(w.Close(time.Now(), asOf, p.o.Place.HotPrefix, bundle), out.flush()); err != nil {
		return nil, err
	}
	d.size = w.Size()
	d.published.Bytes = d.size + d.published.BundleBytes
	m, err := Decode(file, d.size)
	if err != nil {
		return nil, err
	}
	m.close = file.Close
	d.manifest = m
	return d, nil
}

// place says where in the bundle the content of an entry is, if it is there.
func (p *Publisher) place(e *Entry, j *journal.Entry, was *Entry, s *spool, r *reader, limit int64) error {
	if s == nil {
		if reusable(was, j) {
			e.Bundled, e.Offset = true, was.Offset
		}
		return nil
	}
	if !bundleable(j, limit) {
		return nil
	}
	content, err := r.read(j)
	if errors.Is(err, errStale) {
		return nil
	}
	if err != nil {
		return err
	}
	e.Bundled = true
	e.Offset, err = s.add(content)
	return err
}

// buffered gathers small writes.
type buffered struct {
	to  *os.File
	buf []byte
}

func (b *buffered) Write(p []byte) (int, error) {
	b.buf = append(b.buf, p...)
	if len(b.buf) >= 256<<10 {
		return len(p), b.flush()
	}
	return len(p), nil
}

func (b *buffered) flush() error {
	_, err := b.to.Write(b.buf)
	b.buf = b.buf[:0]
	return err
}
