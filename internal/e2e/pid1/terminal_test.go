package pid1

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"golang.org/x/sys/unix"
)

// sitting is a user at a terminal in front of an init.
type sitting struct {
	*performance
	keyboard *os.File
	screen   *harness.Screen
}

// sit starts the staging on a terminal of its own, as docker run -it does: the init leads
// a session and its process group is in the foreground.
func (s staging) sit(t *testing.T) *sitting {
	t.Helper()
	cmd := s.command(t)
	cmd.Env = append(cmd.Env, "TERM=dumb", "PS1=$ ", "SANDBOX_LOG_LEVEL="+cmp.Or(s.logs, "error"))
	cmd.Stderr = nil // the terminal
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	// Non-blocking, so that closing it does not wait for the reader: it cuts the line.
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	master.Close()
	keyboard := os.NewFile(uintptr(fd), "keyboard")
	p := &performance{Cmd: cmd, t: t, more: make(chan struct{}), quiet: make(chan struct{})}
	at := &sitting{p, keyboard, harness.NewScreen()}
	go func() {
		defer close(p.quiet)
		buf := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buf)
			_, _ = at.screen.Write(buf[:n])
			if err != nil { // EIO: no process has the terminal open any more
				return
			}
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); keyboard.Close() })
	return at
}

func (at *sitting) types(keys string) {
	at.t.Helper()
	if _, err := at.keyboard.WriteString(keys); err != nil {
		at.t.Fatal(err)
	}
}

func (at *sitting) sees(text string) {
	at.t.Helper()
	at.screen.Await(at.t, text)
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlZ = "\x1a"
)

// atTheTerminal are scenarios that each come to an exit code, the same under both.
func atTheTerminal() map[string]func(*testing.T, staging) int {
	return map[string]func(*testing.T, staging) int{
		"the command leads a process group in the foreground": func(t *testing.T, s staging) int {
			s.workload = []string{"sh", "-c", `[ "$(ps -o tpgid= -p $$)" -eq $$ ] && [ "$(ps -o pgid= -p $$)" -eq $$ ] && exit 3`}
			return s.sit(t).ends()
		},
		"Ctrl-C": func(t *testing.T, s staging) int {
			s.workload = []string{"sh", "-c", `echo ready; exec sleep 1000`}
			at := s.sit(t)
			at.sees("ready")
			at.types(ctrlC)
			return at.ends()
		},
		"Ctrl-C that the command handles": func(t *testing.T, s staging) int {
			s.workload = []string{"sh", "-c", `trap 'exit 5' INT; echo ready; while :; do sleep 0.01; done`}
			at := s.sit(t)
			at.sees("ready")
			at.types(ctrlC)
			return at.ends()
		},
		"Ctrl-D": func(t *testing.T, s staging) int {
			s.workload = []string{"sh", "-c", `echo ready; cat; exit 6`}
			at := s.sit(t)
			at.sees("ready")
			at.types(ctrlD)
			return at.ends()
		},
		"Ctrl-Z, and SIGCONT to the init": func(t *testing.T, s staging) int {
			s.workload = []string{"sh", "-c", `echo ready; sleep 1000; exit 7`}
			at := s.sit(t)
			at.sees("ready")
			awaitGrandchild(t, at.Process.Pid, "sleep") // a shell that is just forking cannot stop
			at.types(ctrlZ)
			awaitState(t, at.Process.Pid, 'T')
			at.send(unix.SIGCONT)
			awaitState(t, at.Process.Pid, 'S')
			// sleep is stopped still, since the signal is for the command alone.
			at.send(unix.SIGHUP)
			return at.ends()
		},
		"a change of the window's size arrives once": func(t *testing.T, s staging) int {
			s.workload = []string{"bash", "-c", `trap 'n=$((n+1)); [ "$(stty size)" = "40 100" ] && echo resized $n' WINCH; trap 'exit $((n+20))' USR1; echo ready; while :; do sleep 0.01; done`}
			at := s.sit(t)
			at.sees("ready")
			if err := pty.Setsize(at.keyboard, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
				t.Fatal(err)
			}
			at.sees("resized")
			at.send(unix.SIGUSR1)
			return at.ends()
		},
		"the line is cut": func(t *testing.T, s staging) int {
			s.workload = []string{"sh", "-c", `trap 'exit 9' HUP; echo ready; while :; do sleep 0.01; done`}
			at := s.sit(t)
			at.sees("ready")
			at.keyboard.Close()
			return at.ends()
		},
		"job control in a shell": func(t *testing.T, s staging) int {
			s.workload = []string{"bash", "--norc", "--noprofile", "-i"}
			at := s.sit(t)
			at.sees("$ ")
			at.types("sleep 1000\n")
			at.awaitForeground("sleep")
			at.types(ctrlZ)
			at.sees("Stopped")
			at.types("jobs | tr a-z A-Z\n")
			at.sees("STOPPED")
			at.types("bg\n")
			at.sees("sleep 1000 &")
			at.types("fg\n")
			at.sees("fg\r\nsleep 1000")
			at.awaitForeground("sleep") // a shell says the name before it gives the terminal away
			at.types(ctrlC)
			at.sees("^C\r\n$ ") // the prompt: what is typed before it may be thrown away
			at.types("echo $((6*7))\n")
			at.sees("42")
			at.types("exit 11\n")
			code := at.ends()
			for _, complaint := range []string{"no job control", "cannot set terminal process group", "Inappropriate ioctl"} {
				if strings.Contains(at.screen.String(), complaint) {
					t.Errorf("under %s: %s", s.init.name, at.screen)
				}
			}
			return code
		},
		"a command that is not there": func(t *testing.T, s staging) int {
			s.workload = []string{"no-such-command"}
			return s.sit(t).ends()
		},
		"a command that may not be executed": func(t *testing.T, s staging) int {
			s.workload = []string{"/etc/passwd"}
			return s.sit(t).ends()
		},
		"SIGTERM to the init": func(t *testing.T, s staging) int {
			s.workload = []string{"sh", "-c", `trap 'exit 12' TERM; echo ready; while :; do sleep 0.01; done`}
			at := s.sit(t)
			at.sees("ready")
			at.send(unix.SIGTERM)
			return at.ends()
		},
		"signals are as they should be": func(t *testing.T, s staging) int {
			// 32 and 33 are the C library's own, and posix_spawn(3), make's for one, leaves them ignored.
			s.workload = []string{"sh", "-c", `for set in SigBlk SigIgn; do n=$(sed -n "s/^$set:.//p" /proc/self/status); [ $((0x$n & ~0x180000000)) -eq 0 ] || exit 1; done; exit 13`}
			return s.sit(t).ends()
		},
	}
}

func TestTerminalAsUnderTini(t *testing.T) {
	for name, play := range atTheTerminal() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := play(t, staging{init: tini(t)})
			if got := play(t, staging{init: ours(t)}); got != want {
				t.Errorf("exit code %d, under tini %d", got, want)
			}
		})
	}
}

// awaitGrandchild waits until a process of this name is below a child of the init.
func awaitGrandchild(t *testing.T, init int, comm string) {
	t.Helper()
	eventually(t, comm+" does not run", func() bool {
		for _, child := range harness.Children(init) {
			for _, pid := range harness.Children(child) {
				name, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
				if strings.TrimSpace(string(name)) == comm {
					return true
				}
			}
		}
		return false
	})
}

// awaitForeground waits until a process of this name leads the process group in the
// foreground of the terminal.
func (at *sitting) awaitForeground(comm string) {
	at.t.Helper()
	eventually(at.t, comm+" is not in the foreground", func() bool {
		leader := 0
		conn, err := at.keyboard.SyscallConn() // Fd would make it blocking
		if err == nil {
			_ = conn.Control(func(fd uintptr) { leader, _ = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP) })
		}
		name, _ := os.ReadFile("/proc/" + strconv.Itoa(leader) + "/comm")
		return strings.TrimSpace(string(name)) == comm
	})
}

// TestForegroundIsGivenBack: a script that starts sandbox-init on its terminal has the
// terminal again afterwards. (tini leaves the terminal without a foreground group.)
func TestForegroundIsGivenBack(t *testing.T) {
	s := staging{init: ours(t), alone: true, workload: []string{"true"}, under: `"$@"; [ "$(ps -o tpgid= -p $$)" -eq "$(ps -o pgid= -p $$)" ] && exit 14`}
	if got := s.sit(t).ends(); got != 14 {
		t.Errorf("exit code %d", got)
	}
}

// TestBackgroundStaysThere: started in the background of a user's terminal, it does not
// take the foreground.
func TestBackgroundStaysThere(t *testing.T) {
	s := staging{init: ours(t), alone: true, workload: []string{"sh", "-c", `[ "$(ps -o tpgid= -p $$)" -ne $$ ] && exit 15`}, under: `set -m; "$@" & wait $!`}
	if got := s.sit(t).ends(); got != 15 {
		t.Errorf("exit code %d", got)
	}
}

// TestLogOnAStoppedTerminal: with TOSTOP set, a process that writes from the background is stopped
// by the terminal. sandbox-init, which is in the background of its command, is not.
func TestLogOnAStoppedTerminal(t *testing.T) {
	s := staging{init: ours(t), workload: []string{"sh", "-c", `stty tostop; trap 'exit 16' TERM; echo goes on; while :; do sleep 0.01; done`}, logs: "debug"}
	at := s.sit(t)
	at.sees("goes on\r\n")
	at.send(unix.SIGTERM)
	if code := at.ends(); code != 16 {
		t.Errorf("exit code %d", code)
	}
	at.sees("event=exit")
}
