// Package s3process runs the embedded S3 as a child process, for tests, benchmarks and the conformance
// suite: the server can be killed, and its backend changes the working directory of its own process. It
// promises that Start returns when the server answers or has ended, and that End returns when it has ended.
//
// hostd needs none of this: it serves in its own process.
package s3process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
)

// Options are those of `sandbox s3`.
type Options struct {
	Program   string // bin/sandbox
	Data      string
	Listen    []string // HOST:PORT or unix://PATH
	Buckets   []string
	AccessKey string // "": the server makes its own
	SecretKey string
}

// Command is `sandbox s3`. It ends when this process has.
func Command(o Options) *exec.Cmd {
	cmd := exec.Command(o.Program, "s3", "--data", o.Data, "--json", "--parent-pid", strconv.Itoa(os.Getpid()))
	for _, l := range o.Listen {
		cmd.Args = append(cmd.Args, "--listen", l)
	}
	for _, b := range o.Buckets {
		cmd.Args = append(cmd.Args, "--bucket", b)
	}
	if o.AccessKey != "" {
		cmd.Args = append(cmd.Args, "--access-key", o.AccessKey)
		cmd.Env = append(os.Environ(), "SANDBOX_S3_SECRET_KEY="+o.SecretKey) // a command line can be read by every user
	}
	return cmd
}

// Process is a server that has answered.
type Process struct {
	Endpoint  string // the first one that it listens on: http://HOST:PORT or unix://PATH
	AccessKey string
	SecretKey string
	Region    string

	cmd   *exec.Cmd
	ended chan struct{}
}

// line is what a server prints when it is ready: s3server.Info.WriteReady.
type line struct {
	Event     string `json:"event"`
	Endpoint  string `json:"endpoint"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Region    string `json:"region"`
}

// Start starts a command that serves the embedded S3, and waits until it prints that it is ready. When it
// ends first, or ctx does, the error has the end of what it printed on standard error.
func Start(ctx context.Context, cmd *exec.Cmd) (*Process, error) {
	stderr := new(tail)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start the embedded S3: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the embedded S3: %w", err)
	}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	ready := make(chan line, 1)
	go func() {
		defer close(p.ended)
		follow(out, ready)
		_ = cmd.Wait() // after the last read of its output, as exec.Cmd.StdoutPipe demands
	}()
	select {
	case l := <-ready:
		p.Endpoint, p.AccessKey, p.SecretKey, p.Region = l.Endpoint, l.AccessKey, l.SecretKey, l.Region
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("cannot start the embedded S3: %q ended before it was ready (%v): %s", cmd.Args, cmd.ProcessState, stderr)
	case <-ctx.Done():
		p.End(syscall.SIGKILL)
		return nil, fmt.Errorf("cannot start the embedded S3: %q is not ready: %w: %s", cmd.Args, context.Cause(ctx), stderr)
	}
}

// follow reads to the end, so that the server never blocks on a full pipe, and passes the ready line on.
func follow(out io.Reader, ready chan<- line) {
	for r := bufio.NewReader(out); ; {
		text, err := r.ReadBytes('\n')
		var l line
		if json.Unmarshal(text, &l) == nil && l.Event == "s3_ready" {
			select {
			case ready <- l:
			default: // it says so once
			}
		}
		if err != nil {
			return
		}
	}
}

// PID is the server's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// End sends the server a signal that ends it, and returns when it has ended. Its data stays.
func (p *Process) End(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // fails only for one that has ended
	<-p.ended
}

// tail keeps the end of what a process wrote.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - 16<<10; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
