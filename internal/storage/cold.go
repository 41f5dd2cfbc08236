package storage

import (
	"context"
	"errors"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// coldPath is the cold path as the session needs it.
type coldPath struct{}

// flushedCold is what the flush of the cold path did.
type flushedCold struct{ unsaved []contract.Unsaved }

func newColdPath(*session) *coldPath { return &coldPath{} }

func (*coldPath) serve(context.Context, int) error {
	return errors.New("the cold path is not built in")
}
func (*coldPath) flush(context.Context) flushedCold { return flushedCold{} }
func (*coldPath) status() *contract.ColdStatus      { return nil }

func (s *session) addCold(f *wire.Flushed, c flushedCold) {
	f.UnsavedCount += int64(len(c.unsaved))
	f.Unsaved = append(f.Unsaved, c.unsaved...)
}
