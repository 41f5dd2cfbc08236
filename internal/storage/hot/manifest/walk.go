package manifest

import (
	"fmt"
	"sort"
)

// Walk goes through a manifest beside keys that rise.
type Walk struct {
	m       *Manifest
	block   int // the next to be decoded
	entries []Entry
	item    int // of entries[0], counted from the manifest's first
	err     error
}

// From begins a walk at a block. A nil Manifest has nothing to find.
func (m *Manifest) From(block int) *Walk {
	w := &Walk{m: m, block: block}
	if m != nil {
		for _, b := range m.blocks[:min(block, len(m.blocks))] {
			w.item += b.count
		}
	}
	return w
}

// Lookup gives the entry of a key; nil when there is none, or no manifest.
func (m *Manifest) Lookup(key string) (*Entry, error) {
	if m == nil {
		return nil, nil
	}
	after := sort.Search(len(m.blocks), func(i int) bool { return m.blocks[i].first > key })
	w := m.From(max(after-1, 0))
	e, _ := w.Find(key)
	return e, w.Err()
}

// Find gives the entry of a key, valid until the next Find, and its number counted from
// the manifest's first; nil when there is none. Keys rise from call to call.
func (w *Walk) Find(key string) (*Entry, int) {
	for w.m != nil && w.err == nil {
		for len(w.entries) > 0 && w.entries[0].Key < key {
			w.entries = w.entries[1:]
			w.item++
		}
		if len(w.entries) > 0 {
			if w.entries[0].Key == key {
				return &w.entries[0], w.item
			}
			return nil, 0
		}
		if w.block == len(w.m.blocks) {
			return nil, 0
		}
		w.entries, w.err = w.m.Block(w.block)
		w.block++
	}
	return nil, 0
}

// Err says why the walk ended before the manifest did.
func (w *Walk) Err() error { return w.err }

// Item gives entries by their number. It keeps the block that was decoded last, and is
// for one goroutine.
type Item struct {
	m       *Manifest
	first   int
	block   int
	entries []Entry
}

// Items begins at the first entry.
func (m *Manifest) Items() *Item { return &Item{m: m} }

// Get is the entry with that number, counted from the manifest's first.
func (i *Item) Get(n int) (*Entry, error) {
	for i.entries == nil || n < i.first || n >= i.first+len(i.entries) {
		if i.entries == nil || n < i.first {
			i.first, i.block = 0, 0
		} else {
			i.first += len(i.entries)
			i.block++
		}
		for i.block < len(i.m.blocks) && n >= i.first+i.m.blocks[i.block].count {
			i.first += i.m.blocks[i.block].count
			i.block++
		}
		if n < 0 || i.block == len(i.m.blocks) {
			return nil, fmt.Errorf("%w: it has no entry %d", errMalformed, n)
		}
		entries, err := i.m.Block(i.block)
		if err != nil {
			return nil, err
		}
		i.entries = entries
	}
	return &i.entries[n-i.first], nil
}
