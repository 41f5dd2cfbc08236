package process

import (
	"os"
	"os/exec"
	"testing"
)

func TestParseStat(t *testing.T) {
	const rest = " 4242 4241 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 987654 1 1 1\n"
	for line, want := range map[string]Proc{
		"17 (sh) S 1" + rest:                 {PID: 17, PPID: 1, Session: 4241, Comm: "sh", State: 'S', Threads: 3, Start: 987654},
		"17 (a) R 2 (b)) Z 16" + rest:        {PID: 17, PPID: 16, Session: 4241, Comm: "a) R 2 (b)", State: 'Z', Threads: 3, Start: 987654},
		"17 () T 0" + rest:                   {PID: 17, PPID: 0, Session: 4241, Comm: "", State: 'T', Threads: 3, Start: 987654},
		"2147483647 (line\nfeed) D 1" + rest: {PID: 2147483647, PPID: 1, Session: 4241, Comm: "line\nfeed", State: 'D', Threads: 3, Start: 987654},
	} {
		got, err := parseStat([]byte(line))
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{"", "17", "17 (sh", "17 )sh( S 1" + rest, "x (sh) S 1" + rest, "17 (sh) SS 1" + rest, "17 (sh) S x" + rest, "17 (sh) S 1 4242"} {
		if got, err := parseStat([]byte(line)); err == nil {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("17 (a) R 2 (b)) Z 16 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 987654 1"))
	f.Fuzz(func(t *testing.T, line []byte) { _, _ = parseStat(line) })
}

func TestStatOfThisProcess(t *testing.T) {
	p, ok := stat(os.Getpid())
	if !ok || p.PID != os.Getpid() || p.PPID != os.Getppid() || p.Start == 0 || p.Threads < 1 || !p.Alive() {
		t.Errorf("%+v, %v", p, ok)
	}
	if _, ok := stat(1 << 30); ok {
		t.Error("a process that cannot exist does")
	}
}

func TestAlive(t *testing.T) {
	for _, tc := range []struct {
		state   byte
		threads int
		want    bool
	}{{'S', 1, true}, {'R', 4, true}, {'T', 1, true}, {'D', 1, true}, {'Z', 1, false}, {'Z', 0, false}, {'Z', 2, true}, {'X', 1, false}} {
		if got := (Proc{State: tc.state, Threads: tc.threads}).Alive(); got != tc.want {
			t.Errorf("%c with %d threads: %v", tc.state, tc.threads, got)
		}
	}
}

func TestTicksAreTheUnitOfStart(t *testing.T) {
	before := Ticks()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	p, ok := stat(cmd.Process.Pid)
	if after := Ticks(); !ok || p.Start < before || p.Start > after {
		t.Errorf("a process that started between %d and %d has the start %d", before, after, p.Start)
	}
}
