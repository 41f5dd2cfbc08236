package process

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	parts["tell"] = tell
	parts["busy"] = busy
	parts["fault"] = fault
}

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
	p := play(t, "tell")
	p.line()
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, 33:
			continue
		}
		if err := p.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got := p.line(); got != fmt.Sprint(int(sig)) {
			t.Errorf("signal %d arrived as %s", sig, got)
		}
	}
	p.rest()
}

// TestRealTimeSignalsQueue: os/signal would make one of them.
func TestRealTimeSignalsQueue(t *testing.T) {
	p := play(t, "tell")
	p.line()
	const n = 50
	for range n {
		if err := p.Process.Signal(syscall.Signal(40)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if got := p.line(); got != "40" {
			t.Fatalf("after %d of %d came %s", i, n, got)
		}
	}
	end(p)
}

// end ends a part that has nothing more to say.
func end(p *part) {
	p.t.Helper()
	if err := p.Process.Signal(last); err != nil {
		p.t.Fatal(err)
	}
	if got := strings.Join(p.rest(), " "); got != "64" {
		p.t.Errorf("signals %s", got)
	}
}

// busy makes the runtime preempt a thread with SIGURG, and then says which signals seem
// to have been sent.
func busy() error {
	caught, err := CatchSignals()
	if err != nil {
		return err
	}
	go func() {
		for { //nolint:staticcheck // SA5002: no call, no safe point; only a signal stops it
		}
	}()
	for range 5 {
		runtime.GC() // which has to stop it each time
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

// TestOwnPreemptionIsNoSignal: the runtime's SIGURG is not taken for one that somebody
// has sent, and one that somebody has sent is.
func TestOwnPreemptionIsNoSignal(t *testing.T) {
	p := play(t, "busy")
	p.line()
	if err := p.Process.Signal(unix.SIGURG); err != nil {
		t.Fatal(err)
	}
	if got := p.line(); got != "23" {
		t.Errorf("SIGURG arrived as %s", got)
	}
	end(p)
}

// fault recovers from a fault of its own, which is the runtime's to handle, and takes
// the same signal from outside as a signal.
func fault() error {
	caught, err := CatchSignals()
	if err != nil {
		return err
	}
	err = recovered()
	if err == nil {
		return errors.New("no panic")
	}
	fmt.Println("ready")
	fmt.Println(int(<-caught.C))
	return nil
}

func recovered() (err error) {
	defer func() {
		if e, ok := recover().(runtime.Error); ok {
			err = e
		}
	}()
	var p *int
	*p = 1
	return nil
}

func TestFaultsStayTheRuntimes(t *testing.T) {
	p := play(t, "fault")
	p.line()
	if err := p.Process.Signal(unix.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.rest(), " "); got != "11" {
		t.Errorf("signals %s", got)
	}
}

func TestSigactionIsTheKernels(t *testing.T) {
	if unsafe.Sizeof(sigaction{}) != 32 {
		t.Errorf("struct sigaction has %d bytes", unsafe.Sizeof(sigaction{}))
	}
	if unsafe.Sizeof(record{}) != 16 {
		t.Errorf("what sigtramp writes has %d bytes", unsafe.Sizeof(record{}))
	}
}
