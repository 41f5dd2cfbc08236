package execd

import (
	"os"
	"testing"
)

// TestEmptyInputIsNotQueued: it costs its client no credit.
func TestEmptyInputIsNotQueued(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in := newInput(w, false)
	defer in.close()
	in.add(make([]byte, 1<<20), nil) // more than the pipe takes
	one, two := &window{}, &window{}
	for range 1000 {
		in.add(nil, one)
		in.add([]byte{}, two)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.queue) > 1 {
		t.Errorf("%d pieces wait", len(in.queue))
	}
}
