package pending

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/matrx/sandbox/internal/storage/reclog"
)

// nextSuffix is of the journal that is being written anew.
const nextSuffix = ".next"

// errCompactEnded is the error of a Compaction that was given up meanwhile.
var errCompactEnded = errors.New("the disk of the cold path's journal is full, or the journal was closed")

// Compaction writes the journal anew while it goes on being used: what is applied goes to both files until
// the disk knows the new one by the old one's name.
type Compaction struct {
	j    *Journal
	next *reclog.Log
	n    int
}

// BeginCompact begins one; there is one at a time.
func (j *Journal) BeginCompact() (*Compaction, error) {
	j.mu.Lock()
	busy := j.beginning || j.next != nil
	j.beginning = j.beginning || !busy
	j.mu.Unlock()
	if busy {
		return nil, errors.New("the cold path's journal is being written anew already")
	}
	next, err := reclog.Create(j.path+nextSuffix, format, put(slices.Values([]Entry(nil))))
	j.mu.Lock()
	defer j.mu.Unlock()
	j.beginning = false
	if err != nil {
		return nil, fmt.Errorf("cannot write the cold path's journal anew: %w", err)
	}
	j.next = next
	return &Compaction{j: j, next: next}, nil
}

// Add writes entries that are pending now: the caller keeps them from being changed meanwhile.
func (c *Compaction) Add(entries []Entry) error {
	j := c.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.next != c.next {
		return errCompactEnded
	}
	c.n += len(entries)
	if len(entries) == 0 {
		return nil
	}
	if err := j.next.Append(appendBatch(nil, Batch{Put: entries})); err != nil {
		j.dropNextLocked()
		return fmt.Errorf("cannot write the cold path's journal anew: %w", err)
	}
	return nil
}

// End gives the new journal its name. Every entry that was pending at BeginCompact has been added, or
// applied since.
func (c *Compaction) End() error {
	if err := c.take(c.next.Syncer()()); err != nil {
		return fmt.Errorf("cannot write the cold path's journal anew: %w", err)
	}
	// Until the disk knows the name, a crash of the machine may bring the old file back: both are written.
	err := syncDir(filepath.Dir(c.j.path))
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	c.j.dropNextLocked()
	return err
}

// take puts the new file in the place of the old one, which goes on as the second copy. The rename is
// made with the lock: a copy that is given up after it would be the journal.
func (c *Compaction) take(synced error) error {
	j := c.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.next != c.next {
		return errCompactEnded
	}
	if synced == nil {
		synced = os.Rename(j.path+nextSuffix, j.path)
	}
	if synced != nil {
		j.dropNextLocked()
		return synced
	}
	j.log, j.next = j.next, j.log
	j.rewrite++
	j.written = c.n
	return nil
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// dropNextLocked gives up a journal that is being written anew.
func (j *Journal) dropNextLocked() {
	if j.next != nil {
		j.next.Close()
		j.next = nil
		j.rewrite++
		os.Remove(j.path + nextSuffix)
	}
}

// Sync returns when the disk has what was applied.
func (j *Journal) Sync() error {
	for {
		syncs, rewrite := j.syncers()
		var err error
		for _, sync := range syncs {
			err = errors.Join(err, sync())
		}
		if errors.Is(err, os.ErrClosed) {
			if _, now := j.syncers(); now != rewrite {
				continue // a Compaction replaced the file, or was given up meanwhile
			}
		}
		if err != nil {
			return fmt.Errorf("cannot sync the cold path's journal: %w", err)
		}
		return nil
	}
}

func (j *Journal) syncers() (syncs []func() error, rewrite int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	syncs = append(syncs, j.log.Syncer())
	if j.next != nil {
		syncs = append(syncs, j.next.Syncer())
	}
	return syncs, j.rewrite
}
