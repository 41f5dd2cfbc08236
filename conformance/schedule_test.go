package conformance

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract/spec"
)

// family lays out requirements without an engine: ID, what it needs, how its check ends.
func family(t *testing.T, ends map[string]error, needs map[string][]string) *schedule {
	t.Helper()
	var f check.Fixture
	s := &schedule{tasks: map[string]*task{}, run: func(ctx context.Context, c *Check) ([]string, error) { return f.Run(ctx, c, time.Minute) }}
	for id, end := range ends {
		s.tasks[id] = &task{
			requirement: spec.Requirement{ID: id, Level: spec.Must, Needs: needs[id]},
			check:       &Check{ID: id, Run: func(context.Context, *Env) error { return end }},
		}
	}
	return s
}

func TestStatuses(t *testing.T) {
	s := family(t, map[string]error{
		"A-001": nil, "A-002": Fail("no", "do it"), "A-003": Unsupported("none here"), "A-004": errors.New("the engine died"),
		"B-001": nil, "B-002": nil, "B-003": nil, "B-004": nil,
	}, map[string][]string{"B-001": {"A-001"}, "B-002": {"A-002"}, "B-003": {"A-003"}, "B-004": {"B-002"}})
	s.tasks["A-005"] = &task{requirement: spec.Requirement{ID: "A-005"}}
	s.tasks["A-006"] = &task{requirement: spec.Requirement{ID: "A-006"}, skipped: "the caller skipped it"}
	for id, want := range map[string]Status{
		"A-001": Pass, "A-002": Failed, "A-003": NotSupported, "A-004": Error, "A-005": Error, "A-006": Skipped,
		"B-001": Pass, "B-002": NotRun, "B-003": NotSupported, "B-004": NotRun,
	} {
		if got := s.result(t.Context(), id); got.Status != want {
			t.Errorf("%s is %s (%s), want %s", id, got.Status, got.Reason, want)
		}
	}
	if got := s.result(t.Context(), "A-002"); got.Reason != "no" || got.Remedy != "do it" {
		t.Errorf("reason %q, remedy %q", got.Reason, got.Remedy)
	}
}

func TestEachCheckRunsOnce(t *testing.T) {
	var mu sync.Mutex
	ran := map[string]int{}
	s := family(t, map[string]error{"A-001": nil, "B-001": nil, "B-002": nil}, map[string][]string{"B-001": {"A-001"}, "B-002": {"A-001"}})
	for id, task := range s.tasks {
		task.check.Run = func(context.Context, *Env) error {
			mu.Lock()
			defer mu.Unlock()
			ran[id]++
			return nil
		}
	}
	var wg sync.WaitGroup
	for _, id := range []string{"B-001", "B-002", "A-001", "B-001"} {
		wg.Go(func() { s.result(t.Context(), id) })
	}
	wg.Wait()
	for id, n := range ran {
		if n != 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
	if len(ran) != 3 {
		t.Errorf("%d checks ran, want 3", len(ran))
	}
}

func TestAPanicIsAnErrorOfItsCheckAlone(t *testing.T) {
	s := family(t, map[string]error{"A-001": nil, "A-002": nil}, nil)
	ended := false
	s.tasks["A-001"].check.Run = func(_ context.Context, e *Env) error {
		e.AtEnd(func() { ended = true })
		panic("oh no")
	}
	r := s.result(t.Context(), "A-001")
	if r.Status != Error || !strings.Contains(r.Reason, "oh no") {
		t.Errorf("a panic is %s: %s", r.Status, r.Reason)
	}
	if !ended {
		t.Error("what the check had started was not removed")
	}
	if r := s.result(t.Context(), "A-002"); r.Status != Pass {
		t.Errorf("the next check is %s", r.Status)
	}
}

func TestACheckIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := family(t, map[string]error{"A-001": nil, "A-002": nil}, nil)
		s.tasks["A-001"].check.Run = func(ctx context.Context, _ *Env) error { <-ctx.Done(); return ctx.Err() }
		s.tasks["A-002"].check.Run = func(ctx context.Context, _ *Env) error {
			return Eventually(ctx, "the impossible", func() (bool, error) { return false, nil })
		}
		if r := s.result(t.Context(), "A-001"); r.Status != Error || !strings.Contains(r.Reason, "did not end within 1m0s") {
			t.Errorf("a check that hangs is %s: %s", r.Status, r.Reason)
		}
		if r := s.result(t.Context(), "A-002"); r.Status != Failed || !strings.Contains(r.Reason, "the impossible has not happened") {
			t.Errorf("what never happens is %s: %s", r.Status, r.Reason)
		}
	})
}

func TestVerdict(t *testing.T) {
	must := func(s Status) Result { return Result{Level: spec.Must, Status: s} }
	should := func(s Status) Result { return Result{Level: spec.Should, Status: s} }
	for _, tc := range []struct {
		results []Result
		want    Verdict
	}{
		{[]Result{must(Pass), must(NotSupported), should(Failed)}, Conformant},
		{[]Result{must(Pass), must(Failed)}, NotConformant},
		{[]Result{must(Pass), must(Error)}, NotConformant},
		{[]Result{must(Pass), must(Skipped)}, Partial},
		{[]Result{must(Pass), must(NotRun)}, Partial},
		{[]Result{must(NotRun), must(Failed)}, NotConformant},
		{[]Result{should(Pass)}, Partial},
		{nil, Partial},
	} {
		if got := verdict(tc.results); got != tc.want {
			t.Errorf("%v is %s, want %s", tc.results, got, tc.want)
		}
	}
}

func TestClosureAddsWhatIsNeeded(t *testing.T) {
	got := closure(spec.Current().Requirements, []string{"HOT-006"})
	for _, id := range []string{"HOT-006", "HOT-003", "HOT-001", "LIFE-003", "ENTRY-001"} {
		if !got[id] {
			t.Errorf("HOT-006 without %s", id)
		}
	}
	if got["HOT-002"] {
		t.Error("HOT-002 is not needed by HOT-006")
	}
}

// An option that is wrong is an error, never a green run.
func TestWrongOptionsAreErrors(t *testing.T) {
	for name, o := range map[string]Options{
		"no image":           {},
		"a contract version": {Image: "x", Contract: "newest"},
	} {
		if r, err := Execute(t.Context(), o); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
