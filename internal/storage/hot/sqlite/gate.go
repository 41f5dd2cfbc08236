package sqlite

import (
	"io"

	"github.com/matrx/sandbox/internal/threads"
)

// gated passes a gate for each call on a file: a copy of a large database takes long, and must not keep
// a place all the time.
type gated struct {
	gate threads.Gate
	r    io.ReaderAt
	w    io.WriterAt
}

func (g gated) ReadAt(b []byte, off int64) (int, error) {
	g.gate.Enter()
	defer g.gate.Leave()
	return g.r.ReadAt(b, off)
}

func (g gated) WriteAt(b []byte, off int64) (int, error) {
	g.gate.Enter()
	defer g.gate.Leave()
	return g.w.WriteAt(b, off)
}

func (s *Snapshot) reads(r io.ReaderAt) io.ReaderAt  { return gated{gate: s.gate, r: r} }
func (s *Snapshot) writes(w io.WriterAt) io.WriterAt { return gated{gate: s.gate, w: w} }
