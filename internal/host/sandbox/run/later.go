package run

import (
	"io"
	"sync"
)

// mostLater bounds what is kept for a reader that does not read.
const mostLater = 256 << 10

// later writes in a goroutine of its own, so that a reader which does not read (a pager, a stuck
// pipe) holds up no other work: a stop must reach the engine before it is told of. What the reader does not
// take is kept up to mostLater; then the oldest goes.
type later struct {
	to    io.Writer
	mu    sync.Mutex
	queue [][]byte
	size  int
	busy  bool
	empty chan struct{} // closed when all is written, made by those that wait
}

func (l *later) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, append([]byte(nil), b...))
	for l.size += len(b); l.size > mostLater && len(l.queue) > 1; l.queue = l.queue[1:] {
		l.size -= len(l.queue[0])
	}
	if !l.busy {
		l.busy = true
		go l.drain()
	}
	return len(b), nil
}

func (l *later) drain() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.busy = false
			if l.empty != nil {
				close(l.empty)
				l.empty = nil
			}
			l.mu.Unlock()
			return
		}
		next := l.queue[0]
		l.queue, l.size = l.queue[1:], l.size-len(next)
		l.mu.Unlock()
		_, _ = l.to.Write(next) // a reader that is gone has heard enough
	}
}

// written is closed when all is written that has been given to l.
func (l *later) written() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.empty == nil {
		l.empty = make(chan struct{})
		if !l.busy {
			close(l.empty)
			defer func() { l.empty = nil }()
		}
	}
	return l.empty
}
