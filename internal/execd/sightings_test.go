package execd

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/matrx/sandbox/internal/pid1/process"
)

// TestProcessOfForgottenExecIsNoOthers: what an exec has left runs on when the exec is forgotten, and no other exec's
// end is its end.
func TestProcessOfForgottenExecIsNoOthers(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	cmd.Env = []string{markVariable + "=server"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	scan, err := process.Look()
	if err != nil {
		t.Fatal(err)
	}
	p := scan.All[cmd.Process.Pid]
	other := &execution{child: &process.Child{PID: 1 << 30}}
	later := &execution{child: &process.Child{PID: 1<<30 + 1}, began: p.Start + 1}
	look := func(seen *sightings, marks map[string]*execution) *owners {
		return &owners{self: os.Getpid(), all: scan.All, marks: marks, seen: seen, found: map[int]*execution{}}
	}
	seen := newSightings()
	if !look(seen, nil).owns(descendants{other}, p) {
		t.Error("what nobody is known of runs on")
	}
	seen.forget("server")
	if look(seen, nil).owns(descendants{other}, p) {
		t.Error("what a forgotten exec has left ends with another")
	}
	if look(newSightings(), map[string]*execution{"server": later}).owns(descendants{later}, p) {
		t.Error("what a forgotten exec has left ends with a later one of its ID")
	}
	for i := range 2 * mostForgotten {
		seen.forget(strconv.Itoa(i))
	}
	if len(seen.forgotten) > mostForgotten || !seen.forgot(strconv.Itoa(2*mostForgotten-1)) || seen.forgot("server") {
		t.Errorf("%d are known", len(seen.forgotten))
	}
}

// TestSessionOfAReusedNumber: the number of an exec's process that has ended is another's by now.
func TestSessionOfAReusedNumber(t *testing.T) {
	one := &execution{child: &process.Child{PID: 10}, began: 100}
	two := &execution{child: &process.Child{PID: 20}, began: 200, status: &process.Status{}, ended: 300}
	all := map[int]process.Proc{
		5:  {PID: 5, PPID: 1, Session: 1},
		10: {PID: 10, PPID: 5, Session: 10, Start: 100},
		20: {PID: 20, PPID: 10, Session: 20, Start: 350},
		21: {PID: 21, PPID: 20, Session: 20, Start: 360},
	}
	o := &owners{self: 5, all: all, sessions: map[int]*execution{10: one, 20: two}, seen: newSightings(), found: map[int]*execution{}}
	for _, pid := range []int{20, 21} {
		if o.owns(descendants{two}, all[pid]) || !o.owns(descendants{one}, all[pid]) {
			t.Errorf("process %d is of the exec that had its session's number", pid)
		}
	}
}
