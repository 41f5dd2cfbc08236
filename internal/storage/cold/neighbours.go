package cold

import (
	"slices"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/cold/pending"
)

const (
	// neighbourSize is up to which size, in bytes, files are fetched ahead of a program that
	// reads a directory's files one after the other: each would cost it the latency of a request.
	neighbourSize = cache.BlockSize

	// neighbourRun is how many have to be opened in a row before that begins, and neighbourGap how
	// many may be left out between two of them.
	neighbourRun = 3
	neighbourGap = 4

	// neighboursAhead is how many files it is ahead at most, and neighbourJobs how many of them are
	// fetched at a time: half of what fetchers allows, so that no program's request waits behind a guess.
	neighboursAhead = 32
	neighbourJobs   = fetchers / 2
)

// sequence is how a directory's files are being opened.
type sequence struct {
	names []string // sorted, as they were when the directory was read last
	next  int      // the place after the file that was opened last
	run   int      // opened in a row
	ahead int      // the place up to which was fetched
}

// openedInTurn notes that a file is opened for reading, and fetches those that are likely to be
// opened next. With mu.
func (cs *contents) openedInTurn(n *node) {
	if n.parent == nil || n.dirty() || n.size > neighbourSize {
		return
	}
	s := &n.parent.dir.sequence
	i, ok := slices.BinarySearch(s.names, n.name)
	if !ok {
		return
	}
	if i < s.next || i >= s.next+neighbourGap {
		s.run, s.ahead = 0, 0
	}
	s.run, s.next = s.run+1, i+1
	if s.run < neighbourRun {
		return
	}
	end := min(len(s.names), s.next+neighboursAhead)
	for s.ahead = max(s.ahead, s.next); s.ahead < end; s.ahead++ {
		if c := n.parent.dir.child(s.names[s.ahead]); c != nil {
			cs.fetchAhead(c)
		}
	}
}

// fetchAhead brings a small file into the cache in the background. It reports no error: an open
// of the file asks again. With mu.
func (cs *contents) fetchAhead(n *node) {
	if !cs.worthFetching(n) {
		return
	}
	key, err := keyOf(n.source())
	if err != nil || cs.cache.Whole(cache.VersionID(cs.prefix+key, n.remote().ETag, n.remote().Size)) {
		return
	}
	cs.background(func() {
		select {
		case cs.guessing <- struct{}{}:
			defer func() { <-cs.guessing }()
		case <-cs.ctx.Done():
			return
		}
		cs.mu.Lock()
		if !cs.worthFetching(n) {
			cs.mu.Unlock()
			return
		}
		c, err := cs.acquire(n)
		cs.mu.Unlock()
		if err != nil {
			return
		}
		if err := c.fill(cs.ctx, 0, c.file.Size()); err != nil {
			cs.log.Debug("a file was not fetched ahead", "event", "cold_ahead", "key", c.key, "error", err)
		}
		cs.mu.Lock()
		c.release()
		cs.mu.Unlock()
	})
}

// worthFetching says that a file is small, as it is in S3, and without users of its content.
func (cs *contents) worthFetching(n *node) bool {
	return n.kind == pending.File && n.parent != nil && !n.dirty() && !n.stale && n.content == nil &&
		n.hasRemote() && n.size > 0 && n.size <= neighbourSize
}
