package sigtramp

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/testbed/testpart"
)

func TestMain(m *testing.M) {
	testpart.Main(m, map[string]func() error{
		"actions": actions, "busy": busy, "fault": fault, "panic": panics, "every-thread": everyThread, "child": child, "storm": storm,
	})
}

// last is the signal that ends a part.
const last = syscall.Signal(64)

// tell says each signal that it gets, with its sender.
func tell(pipe Pipe) error {
	var buf [64]Record
	for {
		n, err := pipe.Read(buf[:])
		if err != nil {
			return err
		}
		for _, r := range buf[:n] {
			fmt.Println(r.Signal, r.PID)
			if syscall.Signal(r.Signal) == last {
				return nil
			}
		}
	}
}

// wantSignals sends the last signal and compares what was told.
func wantSignals(t *testing.T, p *testpart.Part, signals ...syscall.Signal) {
	t.Helper()
	var want []string
	for _, sig := range append(signals, last) {
		want = append(want, fmt.Sprintln(int(sig), os.Getpid()))
	}
	if err := p.Process.Signal(last); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Rest(), "\n") + "\n"; got != strings.Join(want, "") {
		t.Errorf("signals and senders\n%swant\n%s", got, strings.Join(want, ""))
	}
}

// actions compares the runtime's actions, before Install.
func actions() error {
	var model sigaction
	if err := rtSigaction(unix.SIGURG, nil, &model); err != nil {
		return err
	}
	const saSiginfo, saOnstack, saRestart = 0x4, 0x08000000, 0x10000000
	if want := uintptr(saSiginfo | saOnstack | saRestart); model.handler <= Ignore || model.flags&want != want {
		return fmt.Errorf("the runtime's handler for SIGURG is %#x with the flags %#x", model.handler, model.flags)
	}
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		var a sigaction
		if sig == runtimeOwn { // the C library's in a program that has one, as with the race detector
			continue
		}
		if err := rtSigaction(sig, nil, &a); err != nil {
			return err
		}
		if a.handler > Ignore && a != model {
			return fmt.Errorf("signal %d has the action %+v, SIGURG %+v", sig, a, model)
		}
	}
	return nil
}

func TestRuntimeHasOneHandler(t *testing.T) { testpart.Play(t, "actions").Rest() }

// busy makes the runtime preempt a thread with SIGURG.
func busy() error {
	pipe, err := Install()
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
	return tell(pipe)
}

func TestPreemptionIsTheRuntimes(t *testing.T) {
	p := testpart.Play(t, "busy")
	p.Line()
	if err := p.Process.Signal(unix.SIGURG); err != nil {
		t.Fatal(err)
	}
	wantSignals(t, p, unix.SIGURG)
}

// fault recovers from a fault of its own.
func fault() error {
	pipe, err := Install()
	if err != nil {
		return err
	}
	if err := recovered(); err == nil {
		return errors.New("no panic")
	}
	fmt.Println("ready")
	return tell(pipe)
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

// TestFaultIsTheRuntimes: the same signal from another process is a signal.
func TestFaultIsTheRuntimes(t *testing.T) {
	p := testpart.Play(t, "fault")
	p.Line()
	if err := p.Process.Signal(unix.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	wantSignals(t, p, unix.SIGSEGV)
}

func panics() error {
	if _, err := Install(); err != nil {
		return err
	}
	var p *int
	*p = 1
	return nil
}

// TestPanicEndsTheProgram: with GOTRACEBACK=crash the runtime sends SIGABRT to itself.
func TestPanicEndsTheProgram(t *testing.T) {
	for traceback, want := range map[string]string{"single": "exit status 2", "crash": "signal: aborted"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TEST_PART=panic", "GOTRACEBACK="+traceback)
		cmd.Dir = t.TempDir() // for a core
		var out strings.Builder
		cmd.Stderr = &out
		err := cmd.Run()
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(out.String(), "nil pointer dereference") {
			t.Errorf("GOTRACEBACK=%s: %v, want %s; it says %s", traceback, err, want, out.String())
		}
	}
}

// everyThread runs a system call on all threads, which the runtime tells by signal 33.
func everyThread() error {
	if _, err := Install(); err != nil {
		return err
	}
	var pipes [8][2]int
	var blocked sync.WaitGroup
	for i := range pipes {
		if err := unix.Pipe2(pipes[i][:], unix.O_CLOEXEC); err != nil {
			return err
		}
		blocked.Go(func() { _, _ = unix.Read(pipes[i][0], make([]byte, 1)) }) // a thread in a system call
	}
	if err := syscall.Setgid(syscall.Getgid()); err != nil { // setgid(2) is each thread's own
		return err
	}
	for i := range pipes {
		unix.Close(pipes[i][1])
	}
	blocked.Wait()
	return nil
}

func TestSystemCallRunsOnEveryThread(t *testing.T) { testpart.Play(t, "every-thread").Rest() }

// child says what a program that is started inherits.
func child() error {
	if _, err := Install(); err != nil {
		return err
	}
	cmd := exec.Command("cat", "/proc/self/status")
	cmd.Stdout = os.Stdout
	return cmd.Run()
}

func TestChildHasDefaultActions(t *testing.T) {
	const none = "\t0000000000000000"
	lines := testpart.Play(t, "child").Rest()
	for _, set := range []string{"SigBlk:", "SigIgn:", "SigCgt:"} {
		if !slices.Contains(lines, set+none) {
			t.Errorf("a program that is started does not have %s 0: %q", set, lines)
		}
	}
}

// storm sends itself signals from a child while goroutines allocate, so that the handler runs
// at every kind of instruction, and counts what arrives.
func storm() error {
	pipe, err := Install()
	if err != nil {
		return err
	}
	for range 4 {
		go func() {
			for kept := [][]byte{}; ; kept = kept[len(kept)/2:] {
				for range 100 {
					kept = append(kept, make([]byte, 1000))
				}
			}
		}()
	}
	const signals = 2000
	cmd := exec.Command("sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do kill -40 %d; i=$((i+1)); done", signals, os.Getpid()))
	if err := cmd.Start(); err != nil {
		return err
	}
	var buf [64]Record
	for got := 0; got < signals; {
		n, err := pipe.Read(buf[:])
		if err != nil {
			return err
		}
		for _, r := range buf[:n] {
			switch {
			case r.Signal == 40 && int(r.PID) == cmd.Process.Pid:
				got++
			case r.Signal != int32(unix.SIGCHLD):
				return fmt.Errorf("after %d signals comes %+v", got, r)
			}
		}
	}
	return cmd.Wait()
}

func TestEachOfManySignalsArrives(t *testing.T) { testpart.Play(t, "storm", "GOGC=5").Rest() }

func TestStructsAreTheKernels(t *testing.T) {
	if size := unsafe.Sizeof(sigaction{}); size != 32 {
		t.Errorf("struct sigaction has %d bytes", size)
	}
	if size := unsafe.Sizeof(Record{}); size != 16 {
		t.Errorf("a record has %d bytes", size)
	}
}
