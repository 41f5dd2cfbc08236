package execd

import (
	"slices"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
)

// Output is kept in blocks. A block that is full is never written again, so that a reader may use its bytes
// without a lock, also after the block was dropped.
const (
	firstBlock = 4 << 10 // most execs say little
	nextBlock  = 32 << 10
	wideBlock  = 64 << 10 // where few execs run
	few        = 32

	mostStretches = 1 << 10 // of a block: they take memory too
)

// heap is the memory for the output of all execs. It has one lock for all of them: what is done under it is
// short, and the rule on what to drop concerns all.
//
// The rule: an exec keeps its last KeptOutput, all of them KeptAltogether. Where there is no room the oldest block goes of
// an exec that has ended, else of the one that has most. What an attached reader has not had is not dropped; so
// that readers which do not read cannot use up the memory, a process waits when its slowest reader is more than
// unread() behind. The sum of that over all execs is below half of the memory, and there is always something to drop.
// Once the process has ended, a reader that has taken nothing for patience is not waited for any more, so that the end comes
// however slow it is, and what it has not had may go.
type heap struct {
	patience time.Duration

	mu      sync.Mutex
	used    int // bytes of blocks
	outputs []*output
	running int
}

// readerPatience is long for one that takes what it gets.
const readerPatience = time.Second

type block struct {
	at        int64 // offset of its first byte
	data      []byte
	stretches []stretch
}

// stretch is bytes of one stream, up to an offset in the block.
type stretch struct {
	stream execapi.FrameType
	end    int
}

// output is what one exec has written.
type output struct {
	heap    *heap
	blocks  []*block
	size    int   // bytes of the blocks
	end     int64 // offset of the next byte
	readers []*reader
	rest    time.Time      // when the process has ended: what follows is what it has left; zero: it has not
	over    bool           // nothing follows but final
	final   *execapi.Final // the last
	changed sync.Cond      // of heap.mu: more output, more room, the end

	// write is held by the pump that writes.
	write sync.Mutex
}

func (h *heap) add() *output {
	o := &output{heap: h}
	o.changed.L = &h.mu
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outputs = append(h.outputs, o)
	h.running++
	return o
}

// unread is how far behind the slowest attached reader may be, in bytes, before the process waits.
func (h *heap) unread() int64 {
	return max(nextBlock, int64(execapi.KeptAltogether/4/max(16, h.running)))
}

// remove forgets an exec's output.
func (o *output) remove() {
	o.heap.mu.Lock()
	defer o.heap.mu.Unlock()
	if !o.over {
		o.over = true
		o.heap.running--
	}
	o.drop(len(o.blocks))
	o.heap.outputs = slices.DeleteFunc(o.heap.outputs, func(other *output) bool { return other == o })
}

// startLocked is the offset of the first byte that is kept.
func (o *output) startLocked() int64 {
	if len(o.blocks) == 0 {
		return o.end
	}
	return o.blocks[0].at
}

// needed is the first byte that an attached reader has not had.
func (o *output) needed() int64 {
	first := o.end
	for _, r := range o.readers {
		if !r.stalled() {
			first = min(first, r.at)
		}
	}
	return first
}

// droppable says whether the oldest block may go. A pump may be writing to one that is not full.
func (o *output) droppable() bool {
	if len(o.blocks) == 0 || !o.over && !o.blocks[0].full() {
		return false
	}
	return o.blocks[0].at+int64(len(o.blocks[0].data)) <= o.needed()
}

// full says that nothing is added to it.
func (b *block) full() bool { return len(b.data) == cap(b.data) || len(b.stretches) >= mostStretches }

func (o *output) drop(n int) {
	for _, b := range o.blocks[:n] {
		o.size -= cap(b.data)
		o.heap.used -= cap(b.data)
	}
	o.blocks = slices.Delete(o.blocks, 0, n)
}

// room waits until there is some for the next bytes, and gives it; nil once the exec is removed. The caller holds
// o.write. What it has written there commit adds.
func (o *output) room() []byte {
	h := o.heap
	h.mu.Lock()
	defer h.mu.Unlock()
	for o.end-o.needed() >= h.unread() && !o.over {
		o.wait()
	}
	if o.over {
		return nil
	}
	if n := len(o.blocks); n > 0 {
		if b := o.blocks[n-1]; !b.full() {
			return b.data[len(b.data):cap(b.data)]
		}
	}
	size := nextBlock
	switch {
	case o.end == 0:
		size = firstBlock
	case h.running <= few:
		size = wideBlock
	}
	for o.spare(size) && o.droppable() {
		o.drop(1)
	}
	for h.used+size > execapi.KeptAltogether && h.dropOne() {
	}
	b := &block{at: o.end, data: make([]byte, 0, size)}
	o.blocks = append(o.blocks, b)
	o.size += size
	h.used += size
	return b.data[:size]
}

// wait waits for a change, or for a reader of what is left to have stalled.
func (o *output) wait() {
	if !o.rest.IsZero() {
		defer time.AfterFunc(o.heap.patience, o.changed.Broadcast).Stop()
	}
	o.changed.Wait()
}

// spare says whether the oldest block is more than is kept, or than blocks that are full of stretches, not of bytes, may
// take, before one more of a size.
func (o *output) spare(size int) bool {
	if len(o.blocks) == 0 {
		return false
	}
	b := o.blocks[0]
	return o.end-b.at-int64(len(b.data)) >= execapi.KeptOutput || o.size+size > execapi.KeptOutput+wideBlock
}

// dropOne drops the oldest block of the exec that has ended first, else of the one that has most.
func (h *heap) dropOne() bool {
	var from *output
	for _, o := range h.outputs { // the oldest first
		if !o.droppable() {
			continue
		}
		if o.over {
			from = o
			break
		}
		if from == nil || o.size > from.size {
			from = o
		}
	}
	if from == nil {
		return false
	}
	from.drop(1)
	return true
}

// commit adds n bytes that were written to room.
func (o *output) commit(stream execapi.FrameType, n int) {
	o.heap.mu.Lock()
	defer o.heap.mu.Unlock()
	b := o.blocks[len(o.blocks)-1]
	b.data = b.data[:len(b.data)+n]
	if last := len(b.stretches) - 1; last >= 0 && b.stretches[last].stream == stream {
		b.stretches[last].end = len(b.data)
	} else {
		b.stretches = append(b.stretches, stretch{stream, len(b.data)})
	}
	if !o.rest.IsZero() {
		for _, r := range o.readers {
			if r.at == o.end { // it had all that there was
				r.moved = time.Now()
			}
		}
	}
	o.end += int64(n)
	o.changed.Broadcast()
}

// processEnded lets pumps wait for no reader that stalls from now on.
func (o *output) processEnded() {
	o.heap.mu.Lock()
	defer o.heap.mu.Unlock()
	o.rest = time.Now()
	o.changed.Broadcast()
}

// finish adds the end.
func (o *output) finish(f execapi.Final) {
	o.heap.mu.Lock()
	defer o.heap.mu.Unlock()
	f.Output = o.end
	o.over, o.final = true, &f
	o.heap.running--
	o.changed.Broadcast()
	for _, other := range o.heap.outputs { // the share of each has grown
		other.changed.Broadcast()
	}
}

// kept says what is kept, from and up to which offset, and how many read.
func (o *output) kept() (from, to int64, readers int) {
	o.heap.mu.Lock()
	defer o.heap.mu.Unlock()
	return o.startLocked(), o.end, len(o.readers)
}

// lost makes it the output of an exec whose server was killed: a gap up to what is known to have been there.
func (o *output) lost(f execapi.Final) {
	o.heap.mu.Lock()
	o.end = f.Output
	o.heap.mu.Unlock()
	o.finish(f)
}
