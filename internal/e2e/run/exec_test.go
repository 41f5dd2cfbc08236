package run

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/execapi"
)

// execBox is a sandbox that idles.
func execBox(t *testing.T, flags ...string) (*harness.Operator, string) {
	t.Helper()
	o := harness.NewOperator(t)
	return o, o.OK(append(append([]string{"run", "--image", "matrx-sandbox-base:latest", "--user-id", "u", "--detach"}, flags...), "--", "sleep", "1000")...)
}

// execs is what `sandbox execs` lists, by ID.
func execs(o *harness.Operator, id string) map[string]execapi.Exec {
	o.T.Helper()
	var list []execapi.Exec
	if err := json.Unmarshal([]byte(o.OK("execs", "--json", id)), &list); err != nil {
		o.T.Fatal(err)
	}
	known := map[string]execapi.Exec{}
	for _, x := range list {
		known[x.ID] = x
	}
	return known
}

// only is the one exec that runs.
func only(o *harness.Operator, id string) execapi.Exec {
	o.T.Helper()
	var found []execapi.Exec
	for _, x := range execs(o, id) {
		if x.Final == nil {
			found = append(found, x)
		}
	}
	if len(found) != 1 {
		o.T.Fatalf("%d execs run: %+v", len(found), found)
	}
	return found[0]
}

// TestExecIsServedByTheSandbox: with the sandbox's environment, to the exit code, the same with and without the engine.
func TestExecIsServedByTheSandbox(t *testing.T) {
	o, id := execBox(t, "--env", "OF_THE_SANDBOX=1")
	r := o.Do(strings.NewReader("typed\n"), "exec", "-i", "--json", "--env", "OWN=2", id, "--", "sh", "-c", `cat; echo $OF_THE_SANDBOX $OWN $HOME $PWD; echo err >&2; exit 7`)
	if r.Code != 7 || r.Stdout != "typed\n1 2 /home/agent /home/agent\n" || !strings.HasPrefix(r.Stderr, "err\n") {
		t.Errorf("%v", r)
	}
	var f execapi.Final
	if err := json.Unmarshal([]byte(strings.TrimPrefix(r.Stderr, "err\n")), &f); err != nil || f.Reason != execapi.Exited || f.Code != 7 {
		t.Errorf("it ended %+v, %v", f, err)
	}
	if list := execs(o, id); len(list) != 1 {
		t.Errorf("the sandbox has run %+v", list)
	}
	for code, args := range map[int][]string{127: {"no-such-command"}, 126: {"/etc/passwd"}, 124: {"sleep", "1000"}} {
		if r := o.Do(nil, append([]string{"exec", "--timeout", "1s", id, "--"}, args...)...); r.Code != code || r.Stderr == "" {
			t.Errorf("%q: %v, want %d", args, r, code)
		}
	}
	if r := o.Do(nil, "exec", "--workdir", "/none", id, "--", "true"); r.Code != 125 || !strings.Contains(r.Stderr, "no such directory") {
		t.Errorf("%v", r)
	}
	o.OK("stop", id)
}

// TestSandboxWithoutExecServerIsReachedByTheEngine, as one of an image before 1.1.0.
func TestSandboxWithoutExecServerIsReachedByTheEngine(t *testing.T) {
	o, id := execBox(t)
	if err := os.Remove(filepath.Join(o.SandboxDir(id).HostDir(), contract.HostExecSocketName)); err != nil {
		t.Fatal(err)
	}
	if r := o.Do(strings.NewReader("typed\n"), "exec", "-i", id, "--", "sh", "-c", "cat; id -u; exit 7"); r.Code != 7 || r.Stdout != "typed\n1000\n" {
		t.Errorf("exec: %v", r)
	}
	dir := t.TempDir()
	there, back := filepath.Join(dir, "there"), filepath.Join(dir, "back")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	if err := os.WriteFile(there, content, 0o644); err != nil {
		t.Fatal(err)
	}
	o.OK("cp", there, id+":file")
	o.OK("cp", id+":file", back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, content) {
		t.Errorf("of %d bytes %d come back, or others: %v", len(content), len(got), err)
	}
	if r := o.Do(nil, "cp", there, id+":/var/lib/sandbox/file"); r.Code == 0 || !strings.Contains(r.Stderr, "permission denied") {
		t.Errorf("cp to where the agent may not write: %v", r)
	}
	if r := o.Do(nil, "execs", id); r.Code == 0 || !strings.Contains(r.Stderr, "no exec server") {
		t.Errorf("execs: %v", r)
	}
	o.OK("stop", id)
}

// TestExecEndsWithItsClient, and one that was detached does not.
func TestExecEndsWithItsClient(t *testing.T) {
	o, id := execBox(t)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
		p := o.Start("exec", id, "--", "sh", "-c", "echo up; exec sleep 1000")
		p.Out.Await(t, "up")
		x := only(o, id)
		p.Signal(sig)
		if r := p.End(); sig != syscall.SIGKILL && r.Code != 128+int(sig) {
			t.Errorf("%v: %v", sig, r)
		}
		o.Do(nil, "attach", id, x.ID) // until it has ended
		if f := execs(o, id)[x.ID].Final; f == nil || f.Reason != execapi.Signaled {
			t.Errorf("%v: it ended %+v", sig, f)
		}
	}
	closed := o.Start("exec", id, "--", "sh", "-c", "trap '' PIPE HUP TERM; echo up; exec sleep 1000")
	closed.Out.Await(t, "up")
	x := only(o, id)
	closed.Signal(syscall.SIGINT)
	closed.Signal(syscall.SIGINT)
	closed.End()
	o.Do(nil, "attach", id, x.ID)

	detached := o.OK("exec", "--detach", id, "--", "sh", "-c", "echo first; trap 'echo told; exit 3' USR1; while :; do sleep 0.01; done")
	attached := o.Start("attach", id, detached)
	attached.Out.Await(t, "first")
	attached.Signal(syscall.SIGINT)
	if r := attached.End(); r.Code != 0 || !strings.Contains(r.Stderr, "goes on") {
		t.Errorf("leaving: %v", r)
	}
	again := o.Start("attach", "--offset", "2", id, detached)
	again.Out.Await(t, "rst")
	o.OK("exec", id, "--", "sh", "-c", "kill -USR1 "+o.OK("exec", id, "--", "pgrep", "-f", "-o", "echo told"))
	if r := again.End(); r.Code != 3 || r.Stdout != "rst\ntold\n" {
		t.Errorf("attached again: %v", r)
	}
	gone := o.OK("exec", "--detach", id, "--", "sh", "-c", "setsid sleep 1000 & exec sleep 1000")
	o.OK("execs", "--remove", gone, id)
	if r := o.Do(nil, "exec", id, "--", "pgrep", "-fx", "sleep 1000"); r.Stdout != "7\n" && strings.Count(r.Stdout, "\n") != 1 { // the sandbox's command
		t.Errorf("these are left: %v", r)
	}
	o.OK("stop", id)
}

// TestExecOfAKilledServerIsLost, and the next one works.
func TestExecOfAKilledServerIsLost(t *testing.T) {
	o, id := execBox(t)
	p := o.Start("exec", id, "--", "sh", "-c", "echo up; exec sleep 1000")
	p.Out.Await(t, "up")
	x := only(o, id)
	// The agent may do it, since the server is its own.
	o.Do(nil, "exec", id, "--", "sh", "-c", "kill -9 $PPID")
	if r := p.End(); r.Code != 125 || !strings.Contains(r.Stderr, "lost") {
		t.Errorf("%v", r)
	}
	if f := execs(o, id)[x.ID].Final; f == nil || f.Reason != execapi.Lost {
		t.Errorf("it ended %+v", f)
	}
	if r := o.Do(nil, "exec", id, "--", "sh", "-c", "! pgrep -fx 'sleep 1000' | grep -v ^7$ | grep -x "+strings.TrimSpace(jsonInt(x.PID))); r.Code != 0 {
		t.Errorf("its process lives: %v", r)
	}
	o.OK("stop", id)
}

func jsonInt(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// TestExecsLastOutputArrivesBeforeTheStopReturns, and the sandbox's home has what it wrote last.
func TestExecsLastOutputArrivesBeforeTheStopReturns(t *testing.T) {
	o, id := execBox(t)
	p := o.Start("exec", "--json", id, "--", "sh", "-c", "trap 'echo last; echo kept >~/kept; exit 4' TERM; echo up; while :; do sleep 0.01; done")
	p.Out.Await(t, "up")
	if r := o.Do(nil, "stop", id); r.Code != 0 {
		t.Errorf("stop: %v", r)
	}
	r := p.End()
	if r.Code != 4 || r.Stdout != "up\nlast\n" || !strings.Contains(r.Stderr, `"reason":"stopped"`) {
		t.Errorf("%v", r)
	}
	if r := o.InBase("u", "-q", "--", "cat", "/home/agent/kept"); r.Stdout != "kept\n" {
		t.Errorf("the next one finds %v", r)
	}
}

// TestExecTerminal: its size, Ctrl-C and Ctrl-Z go inside, and the keys that leave it.
func TestExecTerminal(t *testing.T) {
	o, id := execBox(t)
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	defer tty.Close()
	if err := pty.Setsize(ptmx, &pty.Winsize{Rows: 31, Cols: 101}); err != nil {
		t.Fatal(err)
	}
	cmd := o.Command(t.Context(), "exec", "-it", id, "--", "bash", "--norc")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shown := harness.NewScreen()
	go io.Copy(shown, ptmx)
	typed := func(text, want string) {
		t.Helper()
		if _, err := io.WriteString(ptmx, text); err != nil {
			t.Fatal(err)
		}
		shown.Await(t, want)
	}
	typed("echo size $(stty size)\r", "size 31 101")
	if err := pty.Setsize(ptmx, &pty.Winsize{Rows: 40, Cols: 132}); err != nil {
		t.Fatal(err)
	}
	typed("until [ \"$(stty size)\" = '40 132' ]; do :; done; echo re''sized\r", "resized")
	// Of one process, which says that it is there: between two of them the shell has the terminal.
	typed("sh -c 'echo be\"\"gins; exec sleep 1000'\r", "begins")
	typed("\x03", "^C")
	typed("echo code $?\r", "code 130")
	typed("sh -c 'echo be\"\"gins2; exec sleep 1001'\r", "begins2")
	typed("\x1a", "Stopped")
	typed("\x1ed", "detached")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if x := only(o, id); x.Args[0] != "bash" || !x.Terminal {
		t.Errorf("%+v", x)
	}
	o.OK("stop", id)
}

// TestExecServerIsTheHostsAlone: the agent, in whose name it works, can neither reach its socket nor replace it, and
// learns nothing from its process; that it can stop it keeps neither the host nor the sandbox's stop waiting for ever.
func TestExecServerIsTheHostsAlone(t *testing.T) {
	o, id := execBox(t)
	const inside = contract.HostDir + "/sockets/" + contract.HostExecSocketName
	for name, script := range map[string]string{
		"connect":              "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"" + inside + "\")' 2>/dev/null || perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0); connect(S,sockaddr_un(\"" + inside + "\")) or exit 1'",
		"list":                 "ls " + contract.HostDir + "/sockets",
		"replace":              "ln -sf /tmp " + inside,
		"remove":               "rm -f " + inside,
		"read its environment": "cat /proc/$PPID/environ",
		"read its memory":      "head -c 1 /proc/$PPID/mem",
		"see its descriptors":  "ls /proc/$PPID/fd/",
		"give it a score":      "echo -1000 >/proc/$PPID/oom_score_adj",
	} {
		if r := o.Do(nil, "exec", id, "--", "bash", "-c", script); r.Code == 0 {
			t.Errorf("the agent can %s: %v", name, r)
		}
	}
	o.OK("exec", id, "--", "sh", "-c", "kill -TERM $PPID; kill -HUP $PPID; kill -INT $PPID; sleep 0.1") // it takes no notice
	// It stands still: the drain goes on without it.
	p := o.Start("exec", id, "--", "sh", "-c", "echo up; until [ -e ~/go ]; do sleep 0.01; done; kill -STOP $PPID; exec sleep 1000")
	p.Out.Await(t, "up") // before the server stands still
	o.OK("exec", "--detach", id, "--", "touch", "go")
	if r := o.Do(nil, "stop", id); r.Code != 0 {
		t.Errorf("stop: %v", r)
	}
	p.End()
}
