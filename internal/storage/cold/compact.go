package cold

import (
	"maps"
	"slices"

	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

// writeJournal has the journal know a batch. With mu.
func (ch *changes) writeJournal(b pending.Batch) error {
	return ch.cache.WithRoom(func() error { return ch.journal.Apply(b, len(ch.dirtyKeys)) })
}

// compactMost is how many entries are written at a time, and so how long mu is held.
const compactMost = 256

// compact has the journal written anew when most of it is history.
func (ch *changes) compact() {
	if ch.compacting || !ch.journal.Wasteful() {
		return
	}
	ch.compacting = true
	ch.background(func() {
		err := ch.rewriteJournal()
		ch.mu.Lock()
		ch.compacting = false
		ch.mu.Unlock()
		if err != nil && ch.ctx.Err() == nil {
			ch.log.Warn("the cold path's journal goes on growing", "event", "cold_journal_compact", "error", err)
		}
	})
}

func (ch *changes) rewriteJournal() error {
	c, err := ch.journal.BeginCompact()
	if err != nil {
		return err
	}
	ch.mu.Lock()
	paths := slices.Collect(maps.Keys(ch.dirtyKeys))
	ch.mu.Unlock()
	for part := range slices.Chunk(paths, compactMost) {
		ch.mu.Lock()
		entries := make([]pending.Entry, 0, len(part))
		for _, path := range part {
			if s := ch.dirtyKeys[path]; s != nil {
				entries = append(entries, s.entry())
			}
		}
		err := c.Add(entries)
		ch.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return c.End()
}
