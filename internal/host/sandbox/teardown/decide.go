package teardown

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// decide says how a sandbox ended, from what its record, the engine and its own last
// words say. gone: the engine knows no such container; why: what it was told to end for.
func decide(r datadir.Record, c engine.Container, gone bool, why marks, st contract.State) datadir.Ended {
	e := datadir.Ended{Life: c.Began, At: c.Finished, ExitCode: c.ExitCode, Hydrate: st.Hydrate, Flush: st.Flush}
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
		// were new have no data of a user's.
		e.Outcome, e.Reason, e.Kept = datadir.NotStarted, st.Problem, !r.Fresh
	case !told && !gone && e.ExitCode == contract.ExitConfig && st.Phase == "":
		// sandbox-init refuses a configuration before it writes anything.
		e.Outcome, e.Reason, e.Kept = datadir.NotStarted, "its configuration is refused; `sandbox logs "+r.SandboxID+"` says why", !r.Fresh
	case !told && !gone && why.stop && e.ExitCode == unprepared && st.Phase == "":
		e.Outcome, e.Reason, e.Kept = datadir.NotStarted, "it was stopped before it had begun", !r.Fresh
	case !told && !gone && (st.Phase == contract.PhaseBoot || st.Phase == contract.PhaseHydrate) && st.ReadyAt.IsZero():
		// Until it is hydrated nothing goes up, and the workload has not run.
		e.Outcome, e.Reason, e.Kept = datadir.NotStarted, "it was killed before its workspace was there", !r.Fresh
		if c.OOMKilled {
			e.Reason = "it was out of memory before its workspace was there"
		}
	case told && unsaved(e) && st.Flush == nil:
		e.Outcome, e.Reason, e.Kept = datadir.StorageFailed, st.Problem, true
	case told && unsaved(e):
		e.Outcome, e.Reason, e.Kept = datadir.Unsaved, st.Problem, true
		if st.Flush != nil && st.Flush.Reason != "" {
			e.Reason = st.Flush.Reason
		}
	case told && why.timeout:
		e.Outcome, e.Reason = datadir.Timeout, "its time limit of "+r.Limits.Timeout.String()+" has passed"
	case told && why.stop:
		e.Outcome = datadir.Stopped
	case told && c.OOMKilled && e.ExitCode == killedCode && e.Flush != nil:
		// A command that another program killed, after the memory was full: the code is the same.
		// The victims say which, where the kernel's log can be read.
		e.Outcome = datadir.OutOfMemory
	case told:
		e.Outcome = datadir.Completed
	case gone:
		e.Outcome, e.Reason, e.Kept = datadir.ContainerGone, "its container was removed by another program", true
	case c.OOMKilled:
		e.Outcome, e.Kept = datadir.OutOfMemory, true
	case why.timeout:
		e.Outcome, e.Reason, e.Kept = datadir.Killed, "its time limit of "+r.Limits.Timeout.String()+" has passed, and it did not end in the time that it had to", true
	default:
		e.Outcome, e.Kept = datadir.Killed, true
	}
	return e
}

// unprepared is how a PID 1 that is written in Go ends when a signal comes before it has asked for any: the
// kernel takes no default action on PID 1, and Go's runtime exits.
const unprepared = 2

// killedCode is that of a command that SIGKILL has ended.
const killedCode = contract.ExitSignalBase + int(unix.SIGKILL)

// marks are why it was told to end.
type marks struct{ stop, timeout bool }

// unsaved is what the flush's result says. Where there is none the code does: with a result it may also be
// the workload's own.
func unsaved(e datadir.Ended) bool {
	if e.Flush == nil {
		return e.ExitCode == contract.ExitUnsaved
	}
	return e.Flush.UnsavedCount > 0 || e.Flush.Reason != ""
}
