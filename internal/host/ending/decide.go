package ending

import (
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/datadir"
	"github.com/matrx/sandbox/internal/host/engine"
)

// decide says how a sandbox ended, from what its record, the engine and its own last
// words say. gone: the engine knows no such container; stopped: it was told to end.
func decide(r datadir.Record, c engine.Container, gone, stopped bool, st contract.State) datadir.Ended {
	e := datadir.Ended{At: c.Finished, ExitCode: c.ExitCode, Hydrate: st.Hydrate, Flush: st.Flush}
	if e.At.IsZero() || e.At.Year() <= 1 {
		e.At = time.Now().UTC()
	}
	told := st.Phase == contract.PhaseExit && st.ExitCode != nil
	if told && gone {
		e.ExitCode = *st.ExitCode
	}
	switch {
	case !gone && !c.Started:
		e.Outcome, e.Reason, e.Kept = datadir.NotStarted, c.Problem, !r.Fresh
	case told && st.ReadyAt.IsZero() && e.ExitCode != contract.ExitUnsaved:
		// No workspace, or a stop before there was one. The workload never ran, so volumes that
		// were new have nothing that is anybody's.
		e.Outcome, e.Reason, e.Kept = datadir.NotStarted, st.Problem, !r.Fresh
	case told && unsaved(e):
		e.Outcome, e.Reason, e.Kept = datadir.Unsaved, st.Problem, true
		if st.Flush != nil && st.Flush.Reason != "" {
			e.Reason = st.Flush.Reason
		}
	case told && stopped:
		e.Outcome = datadir.Stopped
	case told:
		e.Outcome = datadir.Completed
	case gone:
		e.Outcome, e.Reason, e.Kept = datadir.ContainerGone, "somebody removed its container", true
	case c.OOMKilled:
		e.Outcome, e.Kept = datadir.OutOfMemory, true
	default:
		e.Outcome, e.Kept = datadir.Killed, true
	}
	return e
}

// unsaved is said twice: in the code, which may also be the workload's own, and in the
// flush's result. Either will do.
func unsaved(e datadir.Ended) bool {
	return e.ExitCode == contract.ExitUnsaved || e.Flush != nil && (e.Flush.UnsavedCount > 0 || e.Flush.Reason != "")
}
