package execd

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/pid1/process"
)

// leave are ways for a process to leave its exec. Each leaves its number in the file "left", whole.
var leave = []struct{ name, script string }{
	{"a child", `./stay &`},
	{"an orphan", `(./stay &)`},
	{"another session", `setsid ./stay &`},
	{"double fork", `setsid sh -c 'setsid ./stay & exit 0' & wait`},
	{"double fork without its environment", `env -i /bin/sh -c 'setsid sh -c "setsid ./stay & exit 0" & wait'`},
	{"that ignores signals", `(trap '' TERM HUP INT; setsid ./stay &)`},
	{"that stands still", `setsid ./stay stop &`},
}

// stay is what stays.
const stay = `#!/bin/sh
echo $$ >left.new
mv left.new left
if [ "$1" = stop ]; then kill -STOP $$; fi
exec sleep 1000
`

// say waits for the number and says it.
const say = `
until mv left left.$$ 2>/dev/null; do sleep 0.01; done
echo left $(cat left.$$)
`

// left is the number of the process that a script has left.
func left(t *testing.T, st *execapi.Stream) int {
	t.Helper()
	said := await(t, st, "\n")
	_, rest, _ := strings.Cut(said, "left ")
	pid, err := strconv.Atoi(strings.TrimSpace(rest))
	if err != nil {
		t.Fatalf("it says %q", said)
	}
	return pid
}

// TestNoDescendantOutlivesItsExec: neither a removal nor a timeout; whether the exec's own process lives or has ended.
func TestNoDescendantOutlivesItsExec(t *testing.T) {
	s := newSandbox(t)
	if err := os.WriteFile(filepath.Join(s.home, "stay"), []byte(stay), 0o755); err != nil {
		t.Fatal(err)
	}
	// One that runs beside them all, with a descendant that has left it in an ordinary way.
	beside, err := s.StartAttached(t.Context(), sh(leave[3].script+say+"exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	spared := left(t, beside)
	for _, tc := range leave {
		for _, timeout := range []bool{false, true} {
			for _, over := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s,timeout=%v,over=%v", tc.name, timeout, over), func(t *testing.T) {
					then := "exec sleep 1000"
					if over {
						then = ""
					}
					spec := sh(tc.script + say + then)
					if timeout {
						spec.Timeout = time.Second // time to leave
					}
					st, err := s.StartAttached(t.Context(), spec)
					if err != nil {
						t.Fatal(err)
					}
					pid := left(t, st)
					got, err := execapi.Final{}, error(nil)
					if over || timeout {
						var o outcome
						o, err = collect(st)
						got = o.final
					}
					if !timeout {
						err = s.Remove(t.Context(), st.Exec.ID)
						st.Close()
					}
					if err != nil {
						t.Fatal(err)
					}
					if want := execapi.TimedOut; timeout && !over && got.Reason != want {
						t.Errorf("it ended %+v, want %s", got, want)
					}
					ends(t, pid)
				})
			}
		}
	}
	if err := unix.Kill(spared, 0); err != nil {
		t.Errorf("a descendant of another exec has ended with them: %v", err)
	}
	if x, err := s.Get(t.Context(), beside.Exec.ID); err != nil || x.Final != nil {
		t.Errorf("another exec has ended with them: %+v, %v", x.Final, err)
	}
	if err := s.Remove(t.Context(), beside.Exec.ID); err != nil {
		t.Error(err)
	}
	ends(t, spared)
}

// Chains of processes each of which forks the next one and ends: a scan finds most of them ended.
func TestChainsThatForkEndWithTheirTimeout(t *testing.T) {
	s := newSandbox(t)
	spec := sh(`hop() { hop & }; for i in 1 2 3 4 5; do hop; done; exec sleep 1000`)
	spec.Timeout = 500 * time.Millisecond
	if got := s.run(spec); got.final.Reason != execapi.TimedOut {
		t.Errorf("it ended %+v", got.final)
	}
	if err := s.Remove(t.Context(), s.last()); err != nil {
		t.Fatal(err)
	}
	scan, err := process.Look()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range scan.All {
		if p.PPID == s.server.Process.Pid && p.Alive() {
			t.Errorf("there is %+v", p)
		}
	}
}

// last is the newest exec.
func (s *sandbox) last() string {
	s.t.Helper()
	list, err := s.List(s.t.Context())
	if err != nil || len(list) == 0 {
		s.t.Fatal(list, err)
	}
	return list[len(list)-1].ID
}

// TestWhoseAProcessIs by what a scan shows of it.
func TestWhoseAProcessIs(t *testing.T) {
	one := &execution{child: &process.Child{PID: 10}, began: 100}
	two := &execution{child: &process.Child{PID: 20}, began: 200, status: &process.Status{}, ended: 300}
	all := map[int]process.Proc{
		1:  {PID: 1},
		5:  {PID: 5, PPID: 1, Session: 1},
		10: {PID: 10, PPID: 5, Session: 10, Start: 100},
		11: {PID: 11, PPID: 10, Session: 10, Start: 110},
		12: {PID: 12, PPID: 11, Session: 12, Start: 120}, // a session of its own, below one of the exec's
		13: {PID: 13, PPID: 5, Session: 10, Start: 130},  // an orphan in the session
		14: {PID: 14, PPID: 5, Session: 14, Start: 250},  // nothing can be said of it
		15: {PID: 15, PPID: 14, Session: 15, Start: 350}, // and of its child
		21: {PID: 21, PPID: 5, Session: 20, Start: 210},
		30: {PID: 30, PPID: 1, Session: 10, Start: 50}, // another session of that number, earlier
		40: {PID: 40, PPID: 1, Session: 40, Start: 400},
		50: {PID: 50, PPID: 5, Session: 50, Start: 260}, // an exec that is being started
	}
	o := &owners{self: 5, all: all, sessions: map[int]*execution{10: one, 20: two, 50: {}}, seen: newSightings(), found: map[int]*execution{}}
	for x, want := range map[*execution]map[int]bool{
		one: {10: true, 11: true, 12: true, 13: true, 14: true, 15: true},
		two: {14: true, 21: true},
	} {
		for pid, p := range all {
			if got := o.owns(descendants{x}, p); got != want[pid] {
				t.Errorf("exec %d: process %d: %v", x.child.PID, pid, got)
			}
		}
	}
	// What was seen to be one's stays, when its ways are gone.
	alone := map[int]process.Proc{5: all[5], 12: {PID: 12, PPID: 5, Session: 12, Start: 120}}
	o = &owners{self: 5, all: alone, sessions: map[int]*execution{10: one, 20: two}, seen: o.seen, found: map[int]*execution{}}
	if !o.owns(descendants{one}, alone[12]) || o.owns(descendants{two}, alone[12]) {
		t.Error("a process that was one's is not known again")
	}
}
