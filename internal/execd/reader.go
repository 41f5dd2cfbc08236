package execd

import (
	"slices"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
)

// reader is one that is attached. While it is, nothing that it has not had is dropped.
type reader struct {
	o      *output
	at     int64
	moved  time.Time // when it has had something last, or there was something for it again
	closed bool
}

// stalled says that its exec's process has ended, and that it has taken nothing of what there is for longer than it is
// waited for.
func (r *reader) stalled() bool {
	since := r.o.rest
	if since.IsZero() {
		return false
	}
	if r.moved.After(since) {
		since = r.moved
	}
	return time.Since(since) >= r.o.heap.patience
}

// read attaches at an offset; one behind the end is the end.
func (o *output) read(offset int64) *reader {
	o.heap.mu.Lock()
	defer o.heap.mu.Unlock()
	r := &reader{o: o, at: min(max(0, offset), o.end), moved: time.Now()}
	o.readers = append(o.readers, r)
	return r
}

// piece is what a reader gets next: one of a gap, bytes and the end; none of them when the reader was closed.
type piece struct {
	gap    execapi.Gap
	stream execapi.FrameType
	data   []byte
	final  *execapi.Final
}

// next waits for the next piece. The bytes stay as they are.
func (r *reader) next() piece {
	o := r.o
	o.heap.mu.Lock()
	defer o.heap.mu.Unlock()
	for {
		switch start := o.startLocked(); {
		case r.closed:
			return piece{}
		case r.at < start:
			gap := execapi.Gap{From: r.at, To: start}
			r.at = start
			return piece{gap: gap}
		case r.at < o.end:
			return r.takeLocked()
		case o.over:
			return piece{final: o.final}
		}
		o.changed.Wait()
	}
}

// takeLocked takes the rest of a stretch. It counts as had only when the next piece is asked for: had says so.
func (r *reader) takeLocked() piece {
	i, found := slices.BinarySearchFunc(r.o.blocks, r.at, func(b *block, at int64) int { return int(b.at - at) })
	if !found {
		i--
	}
	b := r.o.blocks[i]
	from := int(r.at - b.at)
	for _, s := range b.stretches {
		if s.end > from {
			return piece{stream: s.stream, data: b.data[from:s.end:s.end]}
		}
	}
	return piece{}
}

// had says that n bytes have been sent.
func (r *reader) had(n int) {
	r.o.heap.mu.Lock()
	defer r.o.heap.mu.Unlock()
	r.at += int64(n)
	r.moved = time.Now()
	r.o.changed.Broadcast()
}

// close detaches; it wakes next.
func (r *reader) close() {
	r.o.heap.mu.Lock()
	defer r.o.heap.mu.Unlock()
	r.closed = true
	r.o.readers = slices.DeleteFunc(r.o.readers, func(other *reader) bool { return other == r })
	r.o.changed.Broadcast()
}
