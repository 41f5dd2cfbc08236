// Package testpart runs a part of a test in a process of its own: code that takes over a whole
// process (its signals, wait4) cannot run in the test binary, which is started again with the
// name of a part instead.
package testpart

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const variable = "TEST_PART"

// Main is TestMain. Started as a part the process runs that part alone; an error makes it fail.
func Main(m *testing.M, parts map[string]func() error) {
	name := os.Getenv(variable)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := parts[name](); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Part is a part that runs.
type Part struct {
	*exec.Cmd
	t   *testing.T
	out *bufio.Scanner
}

// Play starts a part. Its standard error is the test's.
func Play(t *testing.T, name string, env ...string) *Part {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), variable+"="+name), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &Part{Cmd: cmd, t: t, out: bufio.NewScanner(out)}
}

// Line waits for the next line of its standard output.
func (p *Part) Line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("the part has ended: %v", p.Wait())
	}
	return p.out.Text()
}

// Rest is its output until its end, which must be a success.
func (p *Part) Rest() (lines []string) {
	p.t.Helper()
	for p.out.Scan() {
		lines = append(lines, p.out.Text())
	}
	if err := p.Wait(); err != nil {
		p.t.Fatalf("%v: %s", err, strings.Join(lines, "\n"))
	}
	return lines
}
