package execd

import (
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

// TestRestIsBounded: what a process has left is kept by the same bounds, with a reader and without.
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
