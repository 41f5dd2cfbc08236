package process

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/testbed/testpart"
)

func init() { parts["tell"] = tell }

// last is the signal that ends a part.
const last = syscall.Signal(64)

// tell says each signal that it gets.
func tell() error {
	caught, err := CatchSignals()
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for sig := range caught.C {
		fmt.Println(int(sig))
		if sig == last {
			return nil
		}
	}
	return nil
}

func TestEverySignalArrives(t *testing.T) {
	p := testpart.Play(t, "tell")
	p.Line()
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, 33:
			continue
		}
		if err := p.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got := p.Line(); got != fmt.Sprint(int(sig)) {
			t.Errorf("signal %d arrived as %s", sig, got)
		}
	}
	p.Rest()
}

// TestRealTimeSignalsQueue: os/signal would make one of them.
func TestRealTimeSignalsQueue(t *testing.T) {
	p := testpart.Play(t, "tell")
	p.Line()
	const n = 50
	for range n {
		if err := p.Process.Signal(syscall.Signal(40)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if got := p.Line(); got != "40" {
			t.Fatalf("after %d of %d came %s", i, n, got)
		}
	}
	if err := p.Process.Signal(last); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Rest(), " "); got != "64" {
		t.Errorf("signals %s", got)
	}
}
