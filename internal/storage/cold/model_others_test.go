package cold_test

import (
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/cold"
)

// The operations of this file are those of another client, which writes to S3 beside the mount.

// theirs replaces or deletes an object, once S3 has everything that was done here. Programs that have the
// file open keep what they opened; what they write becomes a conflict copy.
func (m *model) theirs() {
	p, i := m.pick(isFile)
	if i == nil {
		return
	}
	m.b.sync()
	key, err := cold.KeyOf(p)
	if err != nil {
		m.t.Fatal(err)
	}
	from := m.at(path.Dir("/" + p))
	dir := from.dir
	for _, o := range m.open {
		if o.i == i {
			i.displaced, i.from = path.Base(p), from
		}
	}
	if m.r.IntN(3) == 0 {
		m.say("they delete %q", p)
		m.b.bucket.Delete(keys + key)
		delete(dir, path.Base(p))
	} else {
		b := m.content()
		for string(b) == string(i.data) { // so soon after ours it would be taken for ours; see attrindex.Entry
			b = m.content()
		}
		m.say("they replace %q, %d bytes", p, len(b))
		m.b.bucket.Put(keys+key, string(b), nil)
		dir[path.Base(p)] = &item{data: b, mode: 0o644}
	}
	if m.r.IntN(2) == 0 {
		m.list()
	}
}

// writeDisplaced writes to a file that others replaced while it was open. It says whether there was such
// a file.
func (m *model) writeDisplaced(o *openItem) bool {
	if o.i.displaced == "" {
		return false
	}
	in := m.paths(func(i *item) bool { return i == o.i.from })
	if len(in) == 0 {
		m.drop(o) // its directory was removed: it would be made again
		return true
	}
	name, dir := o.i.displaced, o.i.from
	m.say("write to %s, which they replaced", o.f.Name())
	// A listing has to tell of it first: what is written before that is settled by the upload's condition.
	if _, err := os.ReadDir(m.b.path(in[0])); err != nil {
		m.fatal("%v", err)
	}
	b := m.content()
	if len(b) == 0 {
		return true
	}
	if _, err := o.f.WriteAt(b, 0); err != nil {
		m.want(err, syscall.ESTALE)
		m.drop(o)
		return true
	}
	o.i.data = append(b[:len(b):len(b)], o.i.data[min(len(b), len(o.i.data)):]...)
	o.i.mtime = time.Time{}
	o.i.displaced, o.i.from = "", nil
	entries, err := os.ReadDir(m.b.path(in[0]))
	if err != nil {
		m.fatal("%v", err)
	}
	for _, e := range names(entries) {
		if strings.HasPrefix(e, name[:min(len(name), 200)]+".conflict-sb-") && dir.dir[e] == nil {
			dir.dir[e] = o.i
			return true
		}
	}
	m.fatal("what was written to %q is nowhere: %q", name, names(entries))
	return true
}

// readDisplaced reads such a file: what it was when it was opened, or an error.
func (m *model) readDisplaced(o *openItem) bool {
	if o.i.displaced == "" {
		return false
	}
	m.say("read %s, which they replaced", o.f.Name())
	b, err := io.ReadAll(io.NewSectionReader(o.f, 0, 1<<40))
	if err == nil && string(b) != string(o.i.data) {
		m.fatal("%s reads %d bytes, not the %d that it had (first difference at %d)", o.f.Name(), len(b), len(o.i.data), differ(b, o.i.data))
	}
	if err != nil {
		m.want(err, syscall.ESTALE)
	}
	return true
}

// drop closes every handle of a displaced file that cannot be used any more.
func (m *model) drop(o *openItem) {
	kept := m.open[:0]
	for _, x := range m.open {
		if x.i == o.i {
			x.f.Close()
			continue
		}
		kept = append(kept, x)
	}
	m.open = kept
}

// listing walks the mount again and again until the function that it gives is called.
func (m *model) listing() (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_ = filepath.WalkDir(m.b.dir, func(_ string, e os.DirEntry, err error) error {
				select {
				case <-quit:
					return filepath.SkipAll
				default:
				}
				if err == nil && e.Type().IsRegular() {
					_, _ = e.Info()
				}
				return nil // what it finds changes under it
			})
			select {
			case <-quit:
				return
			default:
			}
		}
	}()
	return sync.OnceFunc(func() { close(quit); <-ended })
}

// TestModelShared has another client replace and delete objects, and every name looked up in S3 again.
func TestModelShared(t *testing.T) {
	t.Parallel()
	m := newModel(t, ttl(0), quiet(time.Millisecond))
	m.others = true
	m.rounds(4000/part, 400/part, func(round int) {
		m.dropCaches()
		if round%3 == 2 {
			m.closeAll()
			m.checkS3()
		}
	})
}

// TestModelListed has the tree listed all the time by another program.
func TestModelListed(t *testing.T) {
	t.Parallel()
	m := newModel(t, ttl(0), quiet(time.Millisecond))
	stop := m.listing()
	defer func() { stop() }()
	m.rounds(4000/part, 400/part, func(round int) {
		if round%3 == 2 {
			stop()
			m.checkS3()
			stop = m.listing()
		}
	})
}
