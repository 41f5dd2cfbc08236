package journal

import (
	"maps"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// Twin is a second object of a name: its key means the same path as the key that the entry has, since
// another tool has written one of the two in another form (package posixattr). No file of the home
// stands for it. When the file is deleted its twin goes first, or the next hydrate would take the twin
// for the file.
type Twin struct {
	Key  string // below the hot prefix
	ETag string // of the version that hydrate has seen
}

// Twins are those of a journal, by name: a path, with a slash behind it for a directory's marker.
type Twins struct{ j *Journal }

// Twins gives access to them.
func (j *Journal) Twins() Twins { return Twins{j} }

// Get returns the twin of a name.
func (t Twins) Get(name string) (Twin, bool) {
	t.j.mu.RLock()
	defer t.j.mu.RUnlock()
	twin, ok := t.j.twins[name]
	return twin, ok
}

// All returns all of them.
func (t Twins) All() map[string]Twin {
	t.j.mu.RLock()
	defer t.j.mu.RUnlock()
	return maps.Clone(t.j.twins)
}

// Replace records what a listing has shown: these twins, and no others.
func (t Twins) Replace(now map[string]Twin) error {
	for name := range t.All() {
		if _, ok := now[name]; !ok {
			if err := t.Drop(name); err != nil {
				return err
			}
		}
	}
	for name, twin := range now {
		if err := t.put(name, twin); err != nil {
			return err
		}
	}
	return nil
}

func (t Twins) put(name string, twin Twin) error {
	t.j.mu.Lock()
	defer t.j.mu.Unlock()
	if t.j.twins[name] == twin {
		return nil
	}
	t.j.twins[name] = twin
	return t.j.append(opTwin, func(b []byte) []byte { return appendTwin(b, name, twin) })
}

// Drop records that S3 does not hold the twin of a name any more, or that it is the name's only object.
func (t Twins) Drop(name string) error {
	t.j.mu.Lock()
	defer t.j.mu.Unlock()
	if _, ok := t.j.twins[name]; !ok {
		return nil
	}
	delete(t.j.twins, name)
	return t.j.append(opUntwin, func(b []byte) []byte { return binenc.AppendString(b, name) })
}
