package fetch

import (
	"github.com/matrx/sandbox/internal/storage/hot/tree"
)

// diskWriters bounds how many goroutines are in a system call on the file system at a
// time: each may take a thread, and threads count against the container's process limit.
const diskWriters = 8

func (f *Fetcher) create(t Target) (*tree.Pending, error) {
	f.disk <- struct{}{}
	defer func() { <-f.disk }()
	return t.Dir.Create(t.Name)
}

// slotWriter and slotWriterAt take a place among the writers for each write.
type slotWriter struct {
	f *Fetcher
	p *tree.Pending
}

func (w *slotWriter) Write(b []byte) (int, error) {
	w.f.disk <- struct{}{}
	defer func() { <-w.f.disk }()
	return w.p.Write(b)
}

type slotWriterAt slotWriter

func (w *slotWriterAt) WriteAt(b []byte, off int64) (int, error) {
	w.f.disk <- struct{}{}
	defer func() { <-w.f.disk }()
	return w.p.WriteAt(b, off)
}
