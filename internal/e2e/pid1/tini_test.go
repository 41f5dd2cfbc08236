package pid1

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"golang.org/x/sys/unix"
)

// outcome is what a scenario comes to, as far as it can be seen from outside.
type outcome struct {
	Code  int
	Lines []string
}

// scenario is played under tini and under sandbox-init, as PID 1 and as a subreaper.
type scenario struct {
	name string
	play func(t *testing.T, s staging) outcome

	// differs says why sandbox-init's outcome is another one on purpose, and what it is.
	differs func(tini outcome) (ours outcome, why string)

	// namespaced: only as PID 1.
	namespaced bool
}

// workload is a scenario without any action from outside.
func workload(argv ...string) func(*testing.T, staging) outcome {
	return func(t *testing.T, s staging) outcome {
		s.workload = argv
		code, lines := s.begin(t).all()
		return outcome{code, lines}
	}
}

func TestAsUnderTini(t *testing.T) {
	a := theActor(t)
	for _, sc := range scenarios(a) {
		for _, alone := range []bool{false, true} {
			if alone && sc.namespaced {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", map[bool]string{false: "pid 1", true: "subreaper"}[alone], sc.name), func(t *testing.T) {
				t.Parallel()
				want := sc.play(t, staging{init: tini(t), alone: alone})
				if sc.differs != nil {
					var why string
					want, why = sc.differs(want)
					t.Logf("differs from tini on purpose: %s", why)
				}
				got := sc.play(t, staging{init: ours(t), alone: alone})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-expected +sandbox-init\n%s", diff)
				}
			})
		}
	}
}

func scenarios(a string) []scenario {
	list := []scenario{
		{name: "a command that is not there", play: workload("/no/such/command")},
		{name: "a name that is not there", play: workload("no-such-command")},
		{name: "a command that may not be executed", play: workload("/etc/passwd")},
		{name: "a directory", play: workload("/etc")},
		{name: "arguments as they are", play: workload("printf", "%s|", "", " a  b ", "$HOME", "*", "-c", "--")},
		{name: "the limit of open files", play: workload("sh", "-c", "ulimit -Sn; ulimit -Hn")},
		{name: "a shell's variables", play: workload("sh", "-c", "echo $0 $#", "x", "y z")},
		{name: "input to its end", play: input},
		{name: "a reader of the output who goes away", play: brokenOutput},
		{name: "orphans are reaped", play: orphansReaped(a)},
		{name: "orphans' codes are not the command's", play: workload("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do (exit $i) & done; (sh -c 'exit 9' &); exit 77")},
		{name: "the command ends before what it has started", play: workload("sh", "-c", "sleep 5 >/dev/null & exit 6")}, // tini, where it is not PID 1, leaves it behind
		{name: "SIGTERM", play: signalled(a, unix.SIGTERM)},
		{name: "a command that stops itself, and SIGCONT", play: stopped(a)},
		{name: "a script without a first line", play: bareScript},
		{name: "what is inherited", play: inherited(a), differs: func(o outcome) (outcome, string) {
			for i, line := range o.Lines {
				name, _, _ := strings.Cut(line, " ")
				if value, ok := map[string]string{
					"Uid": "1000\t1000\t1000\t1000", "Gid": "1000\t1000\t1000\t1000", "Groups": "", "NoNewPrivs": "1", "Umask": "0022", "SigIgn": nothing, "SigBlk": nothing,
					"CapInh": nothing, "CapPrm": nothing, "CapEff": nothing, "CapBnd": nothing, "CapAmb": nothing, "oom_score_adj": "500",
				}[name]; ok {
					o.Lines[i] = name + " " + value
				}
			}
			return o, "the workload is the agent, without rights, with the usual umask and all signals at their default, and is the first to go when memory is short"
		}},
		{name: "SIGINT", play: signalled(a, unix.SIGINT), differs: func(o outcome) (outcome, string) {
			return outcome{5, []string{"SIGTERM"}}, "SIGINT stops the sandbox as SIGTERM does, and the command is told by its own stop signal"
		}},
	}
	for _, code := range []string{"0", "1", "7", "42", "125", "126", "127", "128", "143", "255"} {
		list = append(list, scenario{name: "exit code " + code, play: workload(a, "exit", code)})
	}
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if ends(sig) {
			list = append(list, scenario{name: fmt.Sprintf("killed by %d", sig), play: workload("sh", "-c", "ulimit -c 0; exec "+a+" die "+fmt.Sprint(int(sig)))})
		}
		if sc, ok := forwarding(a, sig); ok {
			list = append(list, sc)
		}
	}
	return list
}

const nothing = "0000000000000000"

// ends says whether a signal's default action ends a process (signal(7)).
func ends(sig syscall.Signal) bool {
	switch sig {
	case unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG, unix.SIGWINCH, 32, 33:
		return false
	}
	return true
}

// forwarding sends the init one signal and then the last one, and looks at which of them
// the command gets.
func forwarding(a string, sig syscall.Signal) (scenario, bool) {
	const last = syscall.Signal(64)
	unknownToTini := ""
	switch sig {
	case unix.SIGKILL, unix.SIGSTOP, unix.SIGTERM, unix.SIGINT, unix.SIGUSR2, last, 33:
		return scenario{}, false // not to be caught, told elsewhere, this test's own, the Go runtime's and glibc's
	case unix.SIGCHLD:
		// Neither forwards it: it is about the init's own children.
	case unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS:
		unknownToTini = "tini leaves a signal that a fault raises to its default, which the kernel does not apply to PID 1; one that was sent is sent on"
	case unix.SIGTTIN, unix.SIGTTOU:
		unknownToTini = "tini ignores what a terminal could send to itself; here the kernel's never come, so that one that comes was sent"
	case 32:
		unknownToTini = "glibc keeps it from its programs, tini among them"
	}
	told := sig != unix.SIGCHLD
	return scenario{
		name:       fmt.Sprintf("signal %d", sig),
		namespaced: true, // elsewhere those that tini does not catch end it
		play: func(t *testing.T, s staging) outcome {
			s.workload = []string{a, "signals"}
			p := s.begin(t)
			p.says("ready")
			p.send(sig)
			if told && (unknownToTini == "" || s.init.name != "tini") {
				p.says(fmt.Sprintf("signal %d", sig))
			}
			p.send(last)
			p.says(fmt.Sprintf("signal %d", last))
			p.send(unix.SIGUSR2)
			code, lines := p.all()
			return outcome{code, lines[1:]}
		},
		differs: func(o outcome) (outcome, string) {
			if unknownToTini == "" {
				return o, "not at all"
			}
			return outcome{o.Code, slices.Insert(o.Lines, 0, fmt.Sprintf("signal %d", sig))}, unknownToTini
		},
	}, true
}

// signalled sends a signal once the command is ready, which says by which it ends.
func signalled(a string, sig syscall.Signal) func(*testing.T, staging) outcome {
	return func(t *testing.T, s staging) outcome {
		s.workload = []string{a, "pause", "5"}
		p := s.begin(t)
		p.says("ready")
		p.send(sig)
		code, lines := p.all()
		return outcome{code, lines[1:]}
	}
}

func input(t *testing.T, s staging) outcome {
	s.workload, s.stdin = []string{"wc", "-c"}, strings.NewReader(strings.Repeat("x", 300000))
	code, lines := s.begin(t).all()
	return outcome{code, lines}
}

// brokenOutput: the command's next write kills it, and nothing else.
func brokenOutput(t *testing.T, s staging) outcome {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	s.workload, s.stdout, s.stderr = []string{"sh", "-c", "while :; do /bin/echo x || exit $?; done"}, w, w
	return outcome{Code: s.begin(t).ends()}
}

func orphansReaped(a string) func(*testing.T, staging) outcome {
	return func(t *testing.T, s staging) outcome {
		s.workload = []string{a, "orphans", "200"}
		p := s.begin(t)
		p.says("reaped") // how fast is told elsewhere
		return outcome{Code: p.ends()}
	}
}

// stopped: SIGCONT is forwarded and reaches a process that is stopped.
func stopped(a string) func(*testing.T, staging) outcome {
	return func(t *testing.T, s staging) outcome {
		s.workload = []string{"sh", "-c", "echo ready $$; kill -STOP $$; echo goes on; exit 4"}
		p := s.begin(t)
		p.says("ready")
		awaitState(t, p.Process.Pid, 'T')
		p.send(unix.SIGCONT)
		code, lines := p.all()
		return outcome{code, lines[1:]}
	}
}

// awaitState waits until a child of a process is in a state. There is no event for it that
// a bystander could wait for.
func awaitState(t *testing.T, parent int, state byte) {
	t.Helper()
	eventually(t, fmt.Sprintf("no child in state %c", state), func() bool {
		for _, pid := range harness.Children(parent) {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if i := strings.LastIndexByte(string(stat), ')'); i > 0 && i+2 < len(stat) && stat[i+2] == state {
				return true
			}
		}
		return false
	})
}

func bareScript(t *testing.T, s staging) outcome {
	script := agentsDir(t) + "/script"
	if err := os.WriteFile(script, []byte("echo bare $1; exit 8\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.workload = []string{script, "x"}
	code, lines := s.begin(t).all()
	return outcome{code, lines}
}

// inherited starts the init with an unusual umask, ignored signals, a descriptor more and
// limits of its own.
func inherited(a string) func(*testing.T, staging) outcome {
	return func(t *testing.T, s staging) outcome {
		s.workload = []string{a, "inherited"}
		s.under = `trap '' HUP USR1; umask 077; ulimit -n 300; exec 7</dev/null; exec "$@"`
		s.env = []string{"KEPT=a b"}
		code, lines := s.begin(t).all()
		lines = slices.DeleteFunc(lines, func(line string) bool {
			for _, its := range []string{"env HOME=", "env USER=", "env LOGNAME=", "env HOT_PATH=", "env COLD_PATH=", "env SANDBOX_", "env AWS_", "env PWD=", "env OLDPWD=", "wd "} {
				if strings.HasPrefix(line, its) {
					return true
				}
			}
			return false
		})
		return outcome{code, lines}
	}
}
