package lifecycle

import (
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// flush lets the storage process save the rest, and returns the exit code: the
// workload's, unless something is not safe in S3.
func (s *sandbox) flush(code int) int {
	s.state.publish(func(st *contract.State) { st.Phase, st.WorkloadPID = contract.PhaseFlush, 0 })
	s.freeScratch() // no process is left that uses it
	s.storage.flush(wire.Deadline{Boottime: s.budget.flush})
	for s.storage.flushed == nil {
		if s.next(s.budget.end) == evDeadline {
			s.log.Error("not everything is saved: the storage process has not answered in time",
				"event", "unsaved", "pid", s.state.state.StoragePID, "hint", "a restart of the same container saves what is missing; "+contract.EnvShutdownTimeout+" gives it more time")
			return contract.ExitUnsaved
		}
	}
	f := s.storage.flushed
	s.state.update(func(st *contract.State) {
		st.Flush = &contract.FlushResult{
			Transfer:     contract.Transfer{Files: f.Files, Bytes: f.Bytes, Took: f.Took},
			UnsavedCount: f.UnsavedCount,
			Reason:       f.Reason,
		}
	})
	if f.UnsavedCount > 0 || f.Reason != "" {
		s.log.Error("not everything is saved", "event", "unsaved", "count", f.UnsavedCount, "reason", f.Reason, "files", f.Unsaved,
			"hint", "a restart of the same container saves what is missing")
		return contract.ExitUnsaved
	}
	s.log.Info("everything is saved", "event", "flushed", "files", f.Files, "bytes", f.Bytes, "took", f.Took.String())
	return code
}
