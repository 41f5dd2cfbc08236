package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/testbed/testpart"
)

func init() {
	parts["released first"] = func() error { return heldChild(false) }
	parts["moved first"] = func() error { return heldChild(true) }
	parts["abandoned"] = abandonedChild
}

// holding starts a held child that says in a file that it has run.
func holding(until func(int)) (ran string, h *Held, err error) {
	reaper, err := becomeInit()
	if err != nil {
		return "", nil, err
	}
	spawner, err := reaper.NewSpawner(nil)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "held")
	if err != nil {
		return "", nil, err
	}
	ran = filepath.Join(dir, "ran")
	// Its other descriptors stay its own, and the gate is closed when it runs.
	spec := shell(`test -e /proc/self/fd/3 && test ! -e /proc/self/fd/4 && echo $$ >"$0"`)
	spec.Argv = append(spec.Argv, ran)
	spec.Extra = []uintptr{0}
	h, err = spawner.Hold(spec, until)
	return ran, h, err
}

// heldChild lets a child go for both reasons, in either order.
func heldChild(movedFirst bool) error {
	asked, moved, returned := make(chan int, 1), make(chan struct{}), make(chan struct{})
	ran, h, err := holding(func(pid int) {
		asked <- pid
		<-moved
		close(returned)
	})
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(ran))
	if pid := <-asked; pid != h.PID {
		return fmt.Errorf("process %d is to be moved, want %d", pid, h.PID)
	}
	let := []func(){h.Release, func() { close(moved); <-returned }}
	if movedFirst {
		let[0], let[1] = let[1], let[0]
	}
	let[0]()
	if err := waitsInLaunch(h); err != nil {
		return err
	}
	let[1]()
	if status := <-h.Done; status.Code() != 0 {
		return fmt.Errorf("it ends with %d", status.Code())
	}
	if said, err := os.ReadFile(ran); err != nil || string(said) != fmt.Sprintln(h.PID) {
		return fmt.Errorf("it says %q, %w; want its number %d", said, err, h.PID)
	}
	return nil
}

// waitsInLaunch: the child reads the gate, and goes on doing so: it has nothing else to do.
func waitsInLaunch(h *Held) error {
	for {
		select {
		case status := <-h.Done:
			return fmt.Errorf("it has ended with %d before it was let go", status.Code())
		default:
		}
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", h.PID))
		if err != nil {
			return err
		}
		for _, thread := range threads {
			// What it waits for (proc_pid_syscall(5)): a read of descriptor 4.
			said, _ := os.ReadFile(thread)
			var number, fd int
			if n, _ := fmt.Sscanf(string(said), "%d 0x%x", &number, &fd); n == 2 && number == unix.SYS_READ && fd == 4 {
				return nil
			}
		}
	}
}

func abandonedChild() error {
	moved := make(chan struct{})
	ran, h, err := holding(func(int) { <-moved })
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(ran))
	h.Abandon()
	close(moved)
	if status := <-h.Done; !status.Signaled() || status.Signal() != unix.SIGKILL {
		return fmt.Errorf("it ends with %d", status.Code())
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		return errors.New("it has run")
	}
	return nil
}

// TestHeldChildRunsOnceItIsReleasedAndMoved, and not for one of the two.
func TestHeldChildRunsOnceItIsReleasedAndMoved(t *testing.T) {
	for _, order := range []string{"released first", "moved first"} {
		t.Run(order, func(t *testing.T) { testpart.Play(t, order).Rest() })
	}
}

func TestAbandonedChildRunsNothing(t *testing.T) { testpart.Play(t, "abandoned").Rest() }
