package execd

import (
	"runtime"
	"sync"
	"testing"

	"github.com/matrx/sandbox/internal/execapi"
)

// say writes n bytes as a pump does.
func (o *output) say(n int) {
	for n > 0 {
		some := min(n, len(o.room()))
		o.commit(execapi.FrameStdout, some)
		n -= some
	}
}

// TestBlockThatIsWrittenStays: a pump has room that it fills while others want memory, all of which is held by
// readers that do not read.
func TestBlockThatIsWrittenStays(t *testing.T) {
	h := &heap{}
	for range execapi.KeptAltogether / execapi.KeptOutput {
		o := h.add()
		o.say(execapi.KeptOutput)
		o.finish(execapi.Final{})
		o.read(0)
	}
	first := h.add()
	copy(first.room(), "mine")
	h.add().say(execapi.KeptOutput)
	first.commit(execapi.FrameStdout, 4)
	if p := first.read(0).next(); string(p.data) != "mine" {
		t.Errorf("%+v", p)
	}
}

// TestWhatIsLeftReachesItsReaders: the processes of many execs have ended and left more than is kept of all; none of it
// is dropped that a reader has not had.
func TestWhatIsLeftReachesItsReaders(t *testing.T) {
	h := &heap{patience: patience}
	const left = execapi.KeptOutput
	var all sync.WaitGroup
	var outputs []*output
	var readers []*reader
	for range 4 * execapi.KeptAltogether / left {
		o := h.add()
		outputs, readers = append(outputs, o), append(readers, o.read(0))
		o.processEnded()
		all.Go(func() {
			o.say(left)
			o.finish(execapi.Final{})
		})
	}
	for _, o := range outputs { // each has as much as it may have before it is read
		for to := int64(0); to < h.unread(); runtime.Gosched() {
			_, to, _ = o.kept()
		}
	}
	for _, r := range readers {
		all.Go(func() {
			defer r.close()
			for got := 0; ; {
				p := r.next()
				if p.final != nil {
					if got != left {
						t.Errorf("of %d bytes a reader has %d", left, got)
					}
					return
				}
				if p.gap.To > 0 {
					t.Errorf("the bytes %d to %d were dropped", p.gap.From, p.gap.To)
				}
				got += len(p.data)
				r.had(len(p.data))
			}
		})
	}
	all.Wait()
}

// TestRestIsBounded: what a process has left is kept by the same bounds, without a reader and with one that takes nothing.
func TestRestIsBounded(t *testing.T) {
	h := &heap{}
	for range 2 * execapi.KeptAltogether / execapi.KeptOutput {
		o := h.add()
		o.read(0)
		o.processEnded()
		o.say(2 * execapi.KeptOutput)
		if o.size > execapi.KeptOutput+wideBlock {
			t.Fatalf("an exec has %d bytes", o.size)
		}
	}
	if most := execapi.KeptAltogether + wideBlock*len(h.outputs); h.used > most {
		t.Errorf("all have %d bytes", h.used)
	}
}

// TestStreamsInTurnTakeLittleMemory: of two streams that change after each byte, each byte is a stretch.
func TestStreamsInTurnTakeLittleMemory(t *testing.T) {
	h := &heap{}
	o := h.add()
	for range execapi.KeptOutput / 2 {
		for _, stream := range []execapi.FrameType{execapi.FrameStdout, execapi.FrameStderr} {
			o.room()[0] = byte(stream)
			o.commit(stream, 1)
		}
	}
	stretches := 0
	for _, b := range o.blocks {
		stretches += len(b.stretches)
	}
	if most := execapi.KeptOutput / 32; stretches > most {
		t.Errorf("%d stretches for %d bytes; at most %d", stretches, o.end, most)
	}
	r := o.read(o.startLocked())
	for at := r.at; at < o.end; at++ {
		p := r.next()
		if len(p.data) != 1 || p.data[0] != byte(p.stream) {
			t.Fatalf("at %d: %+v", at, p)
		}
		r.had(1)
	}
}
