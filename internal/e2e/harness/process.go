package harness

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Process is a program that has been started.
type Process struct {
	*exec.Cmd
	t        *testing.T
	Out, Err *Screen
	done     chan struct{}
}

// Start starts the program; it is killed at the test's end.
func (o *Operator) Start(args ...string) *Process {
	o.T.Helper()
	p := &Process{Cmd: o.Command(context.Background(), args...), t: o.T, Out: NewScreen(), Err: NewScreen(), done: make(chan struct{})}
	p.Stdout, p.Stderr = p.Out, p.Err
	if err := p.Start(); err != nil {
		o.T.Fatal(err)
	}
	go func() {
		p.Wait()
		close(p.done)
	}()
	o.T.Cleanup(func() {
		p.Process.Kill()
		<-p.done
	})
	return p
}

// End waits for the end.
func (p *Process) End() Result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatalf("it has not ended\nstdout: %s\nstderr: %s", p.Out, p.Err)
	}
	return Result{p.ProcessState.ExitCode(), p.Out.String(), p.Err.String()}
}

// Signal sends a signal to the program alone.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}
