package execd

import (
	"os"
	"sync"
)

// input is what a process is given to read. Attached clients share it; each of them has credit for Window bytes
// that the process has not read.
type input struct {
	to *os.File // nil: it reads nothing

	mu     sync.Mutex
	more   sync.Cond
	queue  []chunk
	ending bool // the end follows the queue
	closed bool
	tty    bool
}

// chunk is what one client has sent in a row.
type chunk struct {
	data []byte
	from *window // nil: no client's
}

func (c chunk) taken() {
	if c.from != nil {
		c.from.back(len(c.data))
	}
}

func newInput(to *os.File, tty bool) *input {
	in := &input{to: to, tty: tty}
	in.more.L = &in.mu
	if to != nil {
		go in.run()
	}
	return in
}

// add queues bytes, which it copies. The client gets its credit back when they are written, or never will be.
func (in *input) add(data []byte, from *window) {
	if len(data) == 0 {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	last := len(in.queue) - 1
	switch {
	case in.to == nil || in.ending || in.closed: // the process reads no more
		chunk{data, from}.taken()
	case last >= 0 && in.queue[last].from == from:
		// Of one byte each they would take more memory than they count for.
		in.queue[last].data = append(in.queue[last].data, data...)
	default:
		in.queue = append(in.queue, chunk{append([]byte(nil), data...), from})
	}
	in.more.Signal()
}

// end makes the process read the end once it has read the rest.
func (in *input) end() {
	in.mu.Lock()
	in.ending = true
	in.mu.Unlock()
	in.more.Signal()
}

// close ends it now.
func (in *input) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.more.Signal()
	if in.to != nil && !in.tty {
		in.to.Close() // wakes a write
	}
}

func (in *input) run() {
	for {
		c, ok := in.next()
		if !ok {
			break
		}
		_, err := in.to.Write(c.data)
		c.taken()
		if err != nil { // no process has it open any more
			in.mu.Lock()
			in.closed = true
			in.mu.Unlock()
		}
	}
	in.mu.Lock()
	rest := in.queue
	in.queue, in.closed = nil, true
	in.mu.Unlock()
	for _, c := range rest {
		c.taken()
	}
	if !in.tty {
		in.to.Close()
	}
}

// next waits for more. ok is false at the end.
func (in *input) next() (c chunk, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		switch {
		case in.closed:
			return c, false
		case len(in.queue) > 0:
			c = in.queue[0]
			in.queue = in.queue[1:]
			return c, true
		case in.ending && in.tty:
			// The end of a terminal's input is a character, as a person types it.
			in.ending = false
			return chunk{data: []byte{4}}, true
		case in.ending:
			return c, false
		}
		in.more.Wait()
	}
}
