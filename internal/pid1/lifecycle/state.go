package lifecycle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/matrx/sandbox/contract"
)

// stateFile keeps contract.State on disk, whole at every instant: each change is
// written under another name and renamed. A goroutine of its own does it, since a slow
// or stuck disk is no reason to be late with a signal; of several changes while it
// writes, the last counts.
type stateFile struct {
	state contract.State // as the owner knows it

	path string
	log  *slog.Logger
	next chan contract.State // one slot: the newest that is not written
	ask  chan chan struct{}  // answered when what was in next is written
	last []byte              // on disk
	sick bool                // the last write failed, and the log says so
}

func newStateFile(runDir string, log *slog.Logger, first contract.State) *stateFile {
	return &stateFile{
		state: first,
		path:  filepath.Join(runDir, contract.StateFileName),
		log:   log,
		next:  make(chan contract.State, 1),
		ask:   make(chan chan struct{}),
	}
}

// update changes the state and has it written soon.
func (f *stateFile) update(change func(*contract.State)) {
	change(&f.state)
	select {
	case <-f.next: // overtaken
	default:
	}
	f.next <- f.state
}

// publish is update, and waits until the state is there for others to see, or for as
// long as that may take.
func (f *stateFile) publish(change func(*contract.State)) {
	f.update(change)
	giveUp := time.NewTimer(publishWithin)
	defer giveUp.Stop()
	written := make(chan struct{})
	select {
	case f.ask <- written:
	case <-giveUp.C:
		return
	}
	select {
	case <-written:
	case <-giveUp.C:
	}
}

const (
	publishWithin = time.Second

	// stateEvery keeps a burst of changes from being a burst of writes. No reader
	// notices: publish waits until a change that must be seen is written.
	stateEvery = 20 * time.Millisecond
)

// run writes until the process ends. That the state cannot be written stops nothing: the
// workload matters more than its observers.
func (f *stateFile) run() {
	var newest *contract.State // not written
	due := time.NewTimer(0)
	<-due.C
	for {
		select {
		case st := <-f.next:
			if newest == nil {
				due.Reset(stateEvery)
			}
			newest = &st
			continue
		case <-due.C:
			f.save(newest)
			newest = nil
		case written := <-f.ask:
			select {
			case st := <-f.next:
				newest = &st
			default:
			}
			due.Stop()
			f.save(newest)
			newest = nil
			close(written)
		}
	}
}

func (f *stateFile) save(st *contract.State) {
	if st == nil {
		return
	}
	err := f.write(*st)
	if err != nil && !f.sick {
		f.log.Error("status is out of date", "event", "state_unwritable", "error", err.Error())
	}
	f.sick = err != nil
}

func (f *stateFile) write(st contract.State) error {
	body, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("cannot encode the state: %w", err)
	}
	if bytes.Equal(body, f.last) {
		return nil
	}
	next := f.path + ".next"
	if err := os.WriteFile(next, body, 0o644); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	if err := os.Rename(next, f.path); err != nil {
		return fmt.Errorf("cannot write the state: %w", err)
	}
	f.last = body
	return nil
}
