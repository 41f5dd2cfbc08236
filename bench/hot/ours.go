package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/matrx/sandbox/bench/scaffold"
)

// sandbox is our storage process at work on a home.
type sandbox struct {
	l      *runner
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr bytes.Buffer
	start  time.Time
	before int64 // requests
}

// job is our process's for a home.
func (l *runner) job(bucket, home string, flush bool) job {
	return job{
		Storage: scaffold.StorageOf(l.server, l.endpoint(), bucket, home+".state"),
		Home:    home, Flush: flush,
	}
}

// hydrate measures a start into an empty home.
func (l *runner) hydrate(name, bucket, home string) cost {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return cost{name: name, err: err}
	}
	argv, err := scaffold.StorageCommand(l.job(bucket, home, false))
	if err != nil {
		return cost{name: name, err: err}
	}
	return l.measure(name, argv...)
}

// begin starts a sandbox and returns when it watches its home.
func (l *runner) begin(bucket, home string) (*sandbox, error) {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	argv, err := scaffold.StorageCommand(l.job(bucket, home, true))
	if err != nil {
		return nil, err
	}
	s := &sandbox{l: l, cmd: exec.Command(argv[0], argv[1:]...), start: time.Now(), before: l.line.Requests()}
	s.cmd.Env = l.server.Env(filepath.Join(l.dir, "peer-home"))
	s.cmd.Stderr = &s.stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	_, err = s.step()
	return s, err
}

func (s *sandbox) step() (t took, err error) {
	if !s.out.Scan() {
		_ = s.cmd.Wait()
		return t, fmt.Errorf("our process ended: %v %s", s.cmd.ProcessState, scaffold.Tail(s.stderr.String()))
	}
	return t, json.Unmarshal(s.out.Bytes(), &t)
}

// tell makes the sandbox do one thing and gives what that cost.
func (s *sandbox) tell(name, what string) cost {
	before := s.l.line.Requests()
	if _, err := fmt.Fprintln(s.in, what); err != nil {
		return cost{name: name, err: err}
	}
	t, err := s.step()
	return cost{
		name: name, wall: seconds(t.Seconds), cpu: seconds(t.CPU), rss: s.rss(),
		requests: s.l.line.Requests() - before, err: err,
	}
}

// ask makes the sandbox say something.
func (s *sandbox) ask(what string) (took, error) {
	if _, err := fmt.Fprintln(s.in, what); err != nil {
		return took{}, err
	}
	return s.step()
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// rss is the largest resident set so far, in KiB (proc_pid_status(5), VmHWM).
func (s *sandbox) rss() (kib int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if i := bytes.Index(b, []byte("VmHWM:")); i >= 0 {
		_, _ = fmt.Sscan(string(b[i+6:]), &kib)
	}
	return kib
}

// end lets it go, and gives what all of it cost.
func (s *sandbox) end(name string) cost {
	s.in.Close()
	err := s.cmd.Wait()
	c := cost{name: name, wall: time.Since(s.start), requests: s.l.line.Requests() - s.before, err: err}
	if err != nil {
		c.err = fmt.Errorf("%w: %s", err, scaffold.Tail(s.stderr.String()))
	}
	c.cpu = s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
	if r, ok := s.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.rss = r.Maxrss
	}
	return c
}
