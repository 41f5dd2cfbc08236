package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asProgram makes this test binary the program.
const asProgram = "LEFTOVERS_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// A place has its own record, temporary directory and engine: an executable that prints the lists in
// the directory engine.
type place struct {
	t           *testing.T
	dir, settle string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t, t.TempDir(), "200ms"}
	for _, d := range []string{"tmp", "bin", "engine"} {
		if err := os.Mkdir(p.at(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	docker := "#!/bin/sh\ncat " + p.at("engine") + "/$1 2>/dev/null; exit 0\n"
	if err := os.WriteFile(p.at("bin/docker"), []byte(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) at(name string) string { return filepath.Join(p.dir, name) }

// command is `leftovers sh -c SCRIPT` with D for the place's directory, started by the prefix.
// The report is a file, since what outlives the program would keep a pipe open.
func (p *place) command(script string, prefix ...string) *exec.Cmd {
	p.t.Helper()
	args := append(prefix, "/proc/self/exe", "-settle", p.settle, "-record", p.at("record"), "sh", "-ec", script)
	if len(prefix) > 0 {
		self, err := os.Executable()
		if err != nil {
			p.t.Fatal(err)
		}
		args[len(prefix)] = self
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), asProgram+"=1", "D="+p.dir, "TMPDIR="+p.at("tmp"), "PATH="+p.at("bin")+":"+os.Getenv("PATH"))
	report, err := os.Create(p.at("report"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { report.Close() })
	cmd.Stderr = report
	return cmd
}

func (p *place) report() string {
	p.t.Helper()
	b, err := os.ReadFile(p.at("report"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// run gives the exit code and what was reported.
func (p *place) run(script string, prefix ...string) (int, string) {
	p.t.Helper()
	cmd := p.command(script, prefix...)
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), p.report()
}

func TestComparisonFindsWhatARunLeaves(t *testing.T) {
	alone := []string{"unshare", "--mount", "--net"} // the machine's own mounts and interfaces stay
	for _, tc := range []struct {
		name, script string
		prefix       []string
		code         int
		says         string // "" for nothing
	}{
		{name: "nothing", script: `true`},
		{name: "a failure of its own", script: `exit 7`, code: 7},
		{name: "a signal of its own", script: `kill -KILL $$`, code: 137},
		{name: "a process that ends by itself", script: `sleep 0.1 &`},
		{name: "a daemon", script: `setsid -f sleep 4321`, code: 1, says: "left: process $PID: sleep 4321"},
		{name: "a daemon with an environment of its own", script: `env -i setsid -f sleep 4322`, code: 1, says: "left: process $PID: sleep 4322"},
		{name: "a failure and a file", script: `touch $TMPDIR/f; exit 7`, code: 7, says: "left: file $TMPDIR/f: no directory"},
		{name: "a mode of the temporary directory", script: `chmod 755 $TMPDIR`, code: 1, says: "changed: mode $TMPDIR: was dtrwxrwxrwx, owner 0:0; is drwxr-xr-x, owner 0:0"},
		{name: "a mode of the directory above", script: `chmod 700 $D/tmp`, code: 1, says: "changed: mode $D/tmp: was drwxr-xr-x, owner 0:0; is drwx------, owner 0:0"},
		{name: "a mount", script: `mount -t tmpfs none $D/engine`, prefix: alone, code: 1, says: "left: mount $D/engine: / of tmpfs none rw"},
		{name: "an unmount", script: `umount /proc/sys/fs/binfmt_misc $D/engine`, prefix: append(alone, "sh", "-c", `mount -t tmpfs none $D/engine; mount -t tmpfs none /proc/sys/fs/binfmt_misc; exec "$@"`, "-"), code: 1, says: "removed: mount $D/engine: / of tmpfs none rw"},
		{name: "an interface", script: `ip link add br9 type bridge`, prefix: append(alone, "sh", "-c", `mount -t sysfs none /sys; exec "$@"`, "-"), code: 1, says: "left: network interface br9"},
		{name: "a container", script: `printf 'c1\timage 12ab\n' >$D/engine/ps`, code: 1, says: "left: container c1: image 12ab"},
		{name: "a network", script: `printf 'n1\t34cd\n' >$D/engine/network`, code: 1, says: "left: network n1: 34cd"},
		{name: "a volume", script: `printf 'v1\tlocal\n' >$D/engine/volume`, code: 1, says: "left: volume v1: local"},
		{name: "an image", script: `printf 'a:1 sha256:56\t\n' >$D/engine/image`, code: 1, says: "left: image a:1 sha256:56"},
		{name: "a container that the engine is removing", script: `printf 'c1\timage 12ab\n' >$D/engine/ps; echo "sleep 0.3; rm $D/engine/ps" >$D/later; env -i setsid -f sh $D/later`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			if tc.code == 0 {
				p.settle = "1m"
			}
			code, got := p.run(tc.script, tc.prefix...)
			if code != tc.code {
				t.Errorf("exit code %d, not %d: %s", code, tc.code, got)
			}
			if tc.says == "" && got == "" {
				return
			}
			if !matches(got, p.dir, tc.says) {
				t.Errorf("reported\n%swithout %q", got, tc.says)
			}
			if b, err := os.ReadFile(p.at("record")); err != nil || len(b) > 0 {
				t.Errorf("the record has %q, %v", b, err)
			}
		})
	}
}

// matches says whether a line of the report is want, in which $TMPDIR and $PID stand for what differs.
func matches(report, dir, want string) bool {
	if want == "" {
		return false
	}
	want = strings.NewReplacer("$TMPDIR", dir+"/tmp/t*", "$PID", "*", "$D", dir).Replace(want)
	head, tail, _ := strings.Cut(want, "*")
	for line := range strings.Lines(report) {
		if _, rest, ok := strings.Cut(line, head); ok && strings.Contains(rest, tail) {
			return true
		}
	}
	return false
}

// awaitFIFO waits until a script says by a FIFO that it has come so far.
func (p *place) awaitFIFO(name string) {
	p.t.Helper()
	if _, err := os.ReadFile(p.at(name)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) fifo(name string) {
	p.t.Helper()
	if err := unix.Mkfifo(p.at(name), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func TestInterruptedRunIsComparedToo(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.fifo("ready")
			p.fifo("never")
			// What is left says itself that it is ready: it has left the group that is signalled, and is what it stays.
			cmd := p.command(`trap 'exit 3' INT TERM HUP; mkdir $TMPDIR/d; setsid -f sh -c 'echo >"$0/ready"; read -r x <"$0/never"' $D; sleep 4324 & wait`)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			p.awaitFIFO("ready")
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 128+int(sig) {
				t.Errorf("exit code %d", code)
			}
			for _, want := range []string{"left: process $PID: sh -c", "left: file $TMPDIR/d: a directory"} {
				if !matches(p.report(), p.dir, want) {
					t.Errorf("reported\n%swithout %q", p.report(), want)
				}
			}
		})
	}
}

func TestKilledRunIsComparedByTheNext(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.fifo("ready")
	cmd := p.command(`setsid -f sleep 4325; printf 'v1\tlocal\n' >$D/engine/volume; touch $TMPDIR/f; echo >$D/ready; sleep 4326`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.awaitFIFO("ready")

	if code, got := p.run(`touch $D/began`); code != 1 || !strings.Contains(got, "another run of the tests of this checkout is under way") {
		t.Errorf("beside a run: %d, %s", code, got)
	}
	cmd.Process.Kill()
	cmd.Wait()
	code, got := p.run(`touch $D/began`)
	if code != 1 || !matches(got, p.dir, "left: volume v1: local") || !matches(got, p.dir, "left: process $PID: sleep 4325") {
		t.Errorf("after it: %d, %s", code, got)
	}
	// The processes have been ended, the volume has not.
	if code, got = p.run(`touch $D/began`); code != 1 || !matches(got, p.dir, "left: volume v1: local") || strings.Contains(got, "process") {
		t.Errorf("again: %d, %s", code, got)
	}
	if _, err := os.Lstat(p.at("began")); err == nil {
		t.Error("a run began beside another, or with something left")
	}
	if err := os.Remove(p.at("engine/volume")); err != nil {
		t.Fatal(err)
	}
	if code, got := p.run(`touch $D/began`); code != 0 || got != "" {
		t.Errorf("when the volume is removed: %d, %s", code, got)
	}
	if left, err := os.ReadDir(p.at("tmp")); err != nil || len(left) > 0 {
		t.Errorf("temporary directories: %v, %v", left, err)
	}
}

func TestRecordOfAnotherBootIsDiscarded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if err := os.WriteFile(p.at("record"), []byte(`{"Boot":"another","Tmp":"`+p.at("none")+`","Before":{"volume v1":""}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, got := p.run(`true`); code != 0 || got != "" {
		t.Errorf("%d, %s", code, got)
	}
}
