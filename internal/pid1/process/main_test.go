package process

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What takes over a whole process (signals, wait4) is tested in one of its own: the
// test binary, started again with the name of a part to play.
const partVariable = "PROCESS_TEST_PART"

// parts is filled by the tests' files.
var parts = map[string]func() error{}

func TestMain(m *testing.M) {
	if name := os.Getenv(partVariable); name != "" {
		if err := parts[name](); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// part is a running part.
type part struct {
	*exec.Cmd
	t   *testing.T
	out *bufio.Scanner
}

// play starts a part. Its standard error is the test's.
func play(t *testing.T, name string, env ...string) *part {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), partVariable+"="+name), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &part{Cmd: cmd, t: t, out: bufio.NewScanner(out)}
}

// line waits for the next line that the part says.
func (p *part) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("the part has ended: %v", p.Wait())
	}
	return p.out.Text()
}

// rest is all that it says until its end, which must be a success.
func (p *part) rest() (lines []string) {
	p.t.Helper()
	for p.out.Scan() {
		lines = append(lines, p.out.Text())
	}
	if err := p.Wait(); err != nil {
		p.t.Fatalf("%v: %s", err, strings.Join(lines, "\n"))
	}
	return lines
}

// becomeInit gives a part signals, a reaper and its orphans.
func becomeInit() (*Signals, *Reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, nil, err
	}
	signals, err := CatchSignals()
	if err != nil {
		return nil, nil, err
	}
	return signals, NewReaper(signals.Children), nil
}

// shell is a Spec that runs a script.
func shell(script string) Spec {
	return Spec{Argv: []string{"sh", "-c", script}, Env: os.Environ(), Files: [3]uintptr{0, 1, 2}, Terminal: -1}
}
