package fetch

import (
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/threads"
)

func create(t Target) (*tree.Pending, error) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return t.Dir.Create(t.Name)
}

// gated passes the gate for each write.
type gated struct{ p *tree.Pending }

func (w gated) Write(b []byte) (int, error) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return w.p.Write(b)
}

func (w gated) WriteAt(b []byte, off int64) (int, error) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return w.p.WriteAt(b, off)
}
