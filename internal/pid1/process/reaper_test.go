package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/testbed/testpart"
)

func init() {
	parts["statuses"] = statuses
	parts["done"] = signalsToTheDead
}

// statuses starts children that each end with a code of their own, beside orphans that
// end by the hundred, and checks every status.
func statuses() error {
	reaper, err := becomeInit()
	if err != nil {
		return err
	}
	spawner, err := reaper.NewSpawner(nil)
	if err != nil {
		return err
	}
	for round := range 20 {
		crowd, err := spawner.Start(shell("i=0; while [ $i -lt 30 ]; do (exit 77 &) ; i=$((i+1)); done"))
		if err != nil {
			return err
		}
		var children []*Child
		for i := range 10 {
			script := fmt.Sprintf("exit %d", round+i)
			if i == 5 {
				script = "kill -9 $$"
			}
			c, err := spawner.Start(shell(script))
			if err != nil {
				return err
			}
			children = append(children, c)
		}
		for i, c := range children {
			want := round + i
			if i == 5 {
				want = 137
			}
			if got := (<-c.Done).Code(); got != want {
				return fmt.Errorf("round %d, child %d: status %d, want %d", round, i, got, want)
			}
		}
		<-crowd.Done
	}
	// A start that fails must leave nothing to wait for.
	if _, err := spawner.Start(Spec{Argv: []string{"/none"}, Terminal: -1}); err == nil {
		return errors.New("a program that does not exist was started")
	}
	return nil
}

func TestNoStatusIsLostOrMistaken(t *testing.T) {
	testpart.Play(t, "statuses").Rest()
}

// signalsToTheDead: a child that has been reaped is not signalled by its number.
func signalsToTheDead() error {
	reaper, err := becomeInit()
	if err != nil {
		return err
	}
	spawner, err := reaper.NewSpawner(nil)
	if err != nil {
		return err
	}
	c, err := spawner.Start(shell("exec sleep 1000"))
	if err != nil {
		return err
	}
	if got := reaper.Kept(); len(got) != 0 {
		return fmt.Errorf("kept: %v", got)
	}
	if err := c.Signal(unix.SIGTERM); err != nil {
		return err
	}
	if got := (<-c.Done).Code(); got != 143 {
		return fmt.Errorf("status %d", got)
	}
	for name, err := range map[string]error{"process": c.Signal(unix.SIGTERM), "group": c.SignalGroup(unix.SIGTERM)} {
		if !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("signal to a dead %s: %w", name, err)
		}
	}
	kept := shell("exec sleep 1000")
	kept.Kept = true
	k, err := spawner.Start(kept)
	if err != nil {
		return err
	}
	if got := reaper.Kept(); len(got) != 1 || got[0] != k.PID {
		return fmt.Errorf("kept: %v", got)
	}
	if !reaper.HasChildren() {
		return errors.New("no children")
	}
	if err := k.SignalGroup(unix.SIGKILL); err != nil {
		return err
	}
	<-k.Done
	if reaper.HasChildren() {
		return errors.New("children are left")
	}
	return nil
}

func TestSignalsToTheDead(t *testing.T) {
	p := testpart.Play(t, "done")
	p.Rest()
}

func TestStatusCode(t *testing.T) {
	for ws, want := range map[syscall.WaitStatus]int{0: 0, 0x0700: 7, 9: 137, 0x80 | 11: 139, 0xff00: 255} {
		if got := (Status{ws}).Code(); got != want {
			t.Errorf("status %#x is code %d, want %d", uint32(ws), got, want)
		}
	}
}
