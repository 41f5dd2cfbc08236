package teardown

import (
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

func TestDecide(t *testing.T) {
	ended := func(code int) engine.Container {
		return engine.Container{Started: true, ExitCode: code, Finished: time.Now()}
	}
	told := func(code int, ready bool, flush *contract.FlushResult) contract.State {
		st := contract.State{Phase: contract.PhaseExit, ExitCode: &code, Flush: flush, Problem: "a problem"}
		if ready {
			st.ReadyAt = time.Now()
		}
		return st
	}
	saved := &contract.FlushResult{}
	silent := contract.State{Phase: contract.PhaseRun, ReadyAt: time.Now()}
	oom := ended(137)
	oom.OOMKilled = true
	oom0 := ended(0)
	oom0.OOMKilled = true

	for name, tc := range map[string]struct {
		c       engine.Container
		st      contract.State
		used    bool // the volumes held something before
		gone    bool
		stopped bool
		timeout bool
		want    datadir.Outcome
		kept    bool
	}{
		"ended well":                                {c: ended(0), st: told(0, true, saved), want: datadir.Completed},
		"the workload failed":                       {c: ended(1), st: told(1, true, saved), want: datadir.Completed},
		"the workload was killed, all saved":        {c: ended(137), st: told(137, true, saved), want: datadir.Completed},
		"the workload exits with 75, all saved":     {c: ended(75), st: told(75, true, saved), want: datadir.Completed},
		"stopped":                                   {c: ended(143), st: told(143, true, saved), stopped: true, want: datadir.Stopped},
		"not all saved":                             {c: ended(74), st: told(74, true, &contract.FlushResult{UnsavedCount: 2}), want: datadir.Unsaved, kept: true},
		"storage gave no answer":                    {c: ended(74), st: told(74, true, nil), want: datadir.StorageFailed, kept: true},
		"the command was out of memory":             {c: oom, st: told(137, true, saved), want: datadir.OutOfMemory},
		"another process was out of memory":         {c: oom0, st: told(0, true, saved), want: datadir.Completed},
		"out of memory, not all saved":              {c: oom, st: told(137, true, &contract.FlushResult{UnsavedCount: 1}), want: datadir.Unsaved, kept: true},
		"not all saved, whatever the code":          {c: ended(0), st: told(0, true, &contract.FlushResult{UnsavedCount: 1}), want: datadir.Unsaved, kept: true},
		"not all saved, for a reason":               {c: ended(0), st: told(0, true, &contract.FlushResult{Reason: "deletions are held"}), want: datadir.Unsaved, kept: true},
		"stopped, not all saved":                    {c: ended(74), st: told(74, true, &contract.FlushResult{UnsavedCount: 1}), stopped: true, want: datadir.Unsaved, kept: true},
		"out of time":                               {c: ended(143), st: told(143, true, saved), timeout: true, want: datadir.Timeout},
		"out of time, then stopped":                 {c: ended(143), st: told(143, true, saved), timeout: true, stopped: true, want: datadir.Timeout},
		"out of time, not all saved":                {c: ended(74), st: told(74, true, &contract.FlushResult{UnsavedCount: 1}), timeout: true, want: datadir.Unsaved, kept: true},
		"out of time, then killed":                  {c: ended(137), st: silent, timeout: true, want: datadir.Killed, kept: true},
		"killed":                                    {c: ended(137), st: silent, want: datadir.Killed, kept: true},
		"killed, told to end before":                {c: ended(137), st: silent, stopped: true, want: datadir.Killed, kept: true},
		"out of memory":                             {c: oom, st: silent, want: datadir.OutOfMemory, kept: true},
		"PID 1 has crashed":                         {c: ended(2), st: silent, want: datadir.Killed, kept: true},
		"nothing was told":                          {c: ended(0), want: datadir.Killed, kept: true},
		"in the middle of the flush":                {c: ended(0), st: contract.State{Phase: contract.PhaseFlush}, want: datadir.Killed, kept: true},
		"no workspace, new volumes":                 {c: ended(75), st: told(75, false, nil), want: datadir.NotStarted},
		"no workspace, used volumes":                {c: ended(75), st: told(75, false, nil), used: true, want: datadir.NotStarted, kept: true},
		"wrong configuration":                       {c: ended(78), st: told(78, false, nil), want: datadir.NotStarted},
		"the workload's own 74, all saved":          {c: ended(74), st: told(74, true, saved), want: datadir.Completed},
		"killed in hydrate":                         {c: ended(137), st: contract.State{Phase: contract.PhaseHydrate}, want: datadir.NotStarted},
		"killed in hydrate, used volumes":           {c: ended(137), st: contract.State{Phase: contract.PhaseHydrate}, used: true, want: datadir.NotStarted, kept: true},
		"refused configuration":                     {c: ended(78), want: datadir.NotStarted},
		"refused configuration, used volumes":       {c: ended(78), used: true, want: datadir.NotStarted, kept: true},
		"stopped before it had begun":               {c: ended(2), stopped: true, want: datadir.NotStarted},
		"stopped before it had begun, used volumes": {c: ended(2), stopped: true, used: true, want: datadir.NotStarted, kept: true},
		"crashed before it had begun":               {c: ended(2), want: datadir.Killed, kept: true},
		"stopped, its words cannot be read":         {c: ended(2), st: contract.State{Phase: unreadable}, stopped: true, want: datadir.Killed, kept: true},
		"78, its words cannot be read":              {c: ended(78), st: contract.State{Phase: unreadable}, want: datadir.Killed, kept: true},
		"78 of one that was ready":                  {c: ended(78), st: silent, want: datadir.Killed, kept: true},
		"never started":                             {c: engine.Container{Problem: "no such device"}, want: datadir.NotStarted},
		"never started, used volumes":               {c: engine.Container{}, used: true, want: datadir.NotStarted, kept: true},
		"removed after a good end":                  {gone: true, st: told(0, true, saved), want: datadir.Completed},
		"removed while it ran":                      {gone: true, st: silent, want: datadir.ContainerGone, kept: true},
		"the state of an earlier run":               {c: ended(137), st: contract.State{Phase: contract.PhaseExit}, want: datadir.Killed, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(datadir.Record{Fresh: !tc.used}, tc.c, tc.gone, marks{tc.stopped, tc.timeout}, tc.st)
			if got.Outcome != tc.want || got.Kept != tc.kept {
				t.Errorf("%q, kept %t; want %q, kept %t", got.Outcome, got.Kept, tc.want, tc.kept)
			}
			if got.At.IsZero() {
				t.Error("at no time")
			}
		})
	}
}
