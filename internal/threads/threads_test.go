package threads

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const blocking = 8

// starve is run in a child as a user of its own, for whom the kernel refuses new threads once
// the limit is set. It then does what storage does under a fork bomb: more goroutines than
// places, each in system calls that block, while others compute and collect garbage.
func starve(reserve, gated bool) {
	runtime.GOMAXPROCS(2)
	if reserve {
		Reserve(blocking)
	}
	limit := unix.Rlimit{Cur: 1, Max: 1}
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &limit); err != nil {
		fmt.Println("setrlimit:", err)
		os.Exit(3)
	}
	var gate Gate
	if gated {
		gate = NewGate(blocking)
	}
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for range 20 {
				gate.Enter()
				block()
				gate.Leave()
				if i%8 == 0 {
					runtime.GC()
				}
			}
		})
	}
	all.Wait()
	fmt.Println("lived")
}

// block is in a system call for long enough that the runtime wants another thread for the
// rest: nothing is ever written to the pipe.
func block() {
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		panic(err)
	}
	fds := []unix.PollFd{{Fd: int32(p[0]), Events: unix.POLLIN}}
	_, _ = unix.Poll(fds, 30)
	syscall.Close(p[0])
	syscall.Close(p[1])
}

func TestMain(m *testing.M) {
	if how := os.Getenv("THREADS_TEST_STARVE"); how != "" {
		starve(strings.Contains(how, "reserve"), strings.Contains(how, "gate"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, how string, uid uint32) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: the limit binds other users only")
	}
	self, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	// By descriptor: the directory that go test built in may be closed to other users.
	cmd := exec.Command("/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{self}
	cmd.Dir = "/"
	cmd.Env = []string{"THREADS_TEST_STARVE=" + how}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

func TestAProgramLivesWithoutNewThreads(t *testing.T) {
	for _, test := range []struct {
		how   string
		lives bool
	}{
		{"reserve gate", true},
		// Each half alone is not enough; these two prove that the test can fail.
		{"reserve", false},
		{"gate", false},
	} {
		t.Run(test.how, func(t *testing.T) {
			t.Parallel()
			uid := uint32(3_000_000 + os.Getpid()*10 + len(test.how))
			out, err := child(t, test.how, uid)
			if test.lives && (err != nil || !strings.Contains(out, "lived")) {
				t.Fatalf("it died: %v\n%s", err, out)
			}
			// The runtime's own words, and those of runtime/cgo, which the race detector brings in.
			aborted := strings.Contains(out, "failed to create new OS thread") || strings.Contains(out, "pthread_create failed")
			if !test.lives && !aborted {
				t.Fatalf("it should have aborted for want of a thread: %v\n%s", err, out)
			}
		})
	}
}

func TestReserveMakesThreads(t *testing.T) {
	Reserve(30)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	if want := 30 + runtime.GOMAXPROCS(0) + spare; len(tasks) < want {
		t.Errorf("%d threads, want %d", len(tasks), want)
	}
}

func TestGate(t *testing.T) {
	g := NewGate(2)
	g.Enter()
	g.Enter()
	entered := make(chan struct{})
	go func() {
		g.Enter()
		close(entered)
	}()
	select {
	case <-entered:
		t.Error("a third one was admitted")
	default:
	}
	g.Leave()
	<-entered
	var none Gate
	none.Enter()
	none.Leave()
}
