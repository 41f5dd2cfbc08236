// Package reaper removes what a run of the suite leaves behind when it cannot do so
// itself: a SIGKILL, a panic, a test that ran out of time.
//
// It is a process of its own, the suite's own program once more, which waits for the end
// of its standard input. A run that ends in order says so before; then there is nothing
// to do. Otherwise the reaper removes the run's containers and its directory.
package reaper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/conformance/engine"
)

// Command is the suite's subcommand that is Main.
const Command = "reap"

// LockName is the file in the run's directory on which the run's servers hold a shared
// lock as long as they live.
const LockName = "lock"

// dismissed is what a run says that has removed everything itself.
const dismissed = "dismissed\n"

// Reaper is the process, as the run sees it.
type Reaper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// Start starts the reaper of a run. program is the suite's own program.
func Start(program, run, dir string) (*Reaper, error) {
	r := &Reaper{cmd: exec.Command(program, Command, run, dir)}
	// Away from the terminal's group: Ctrl-C ends the suite, and not the process that cleans up after it.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.cmd.Dir, r.cmd.Stderr = "/", os.Stderr // it may outlive the reader of its output
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start the suite's reaper: %w", err)
	}
	return r, nil
}

// Dismiss ends the reaper of a run that has removed everything itself.
func (r *Reaper) Dismiss() error {
	_, err := io.WriteString(r.stdin, dismissed)
	err = errors.Join(err, r.stdin.Close(), r.cmd.Wait())
	if err != nil {
		return fmt.Errorf("the suite's reaper has ended early: %w", err)
	}
	return nil
}

// Main is the reaper: args are the run's ID and its directory.
func Main(args []string) int {
	if len(args) != 2 {
		fmt.Fprintln(os.Stderr, "sandbox-conformance: usage: reap RUN DIR")
		return 2
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	said, err := io.ReadAll(os.Stdin)
	if err == nil && string(said) == dismissed {
		return 0
	}
	if err := reap(args[0], args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox-conformance: what a run left behind is not all removed:", err)
		return 1
	}
	return 0
}

// onTheWay is how long the engine is watched for containers whose creation had been asked
// for when the run died: nothing tells when the last of them is there.
const onTheWay = 10 * time.Second

func reap(run, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	e, err := engine.Connect(ctx, run)
	if err != nil {
		return errors.Join(err, removeDir(dir))
	}
	defer e.Close()
	watched, stop := context.WithTimeout(ctx, onTheWay)
	defer stop()
	created := e.Created(watched) // before the first sweep, so that none comes between
	err = e.Sweep(ctx)
	err = errors.Join(err, removeDir(dir))
	for lost := range created {
		err = errors.Join(err, lost, e.Sweep(ctx))
	}
	return err
}

// removeDir waits until the run's servers, which write there, have ended.
func removeDir(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, LockName), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return os.RemoveAll(dir)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// It blocks no longer than the servers' grace: their input has ended as ours has.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("cannot wait for the suite's servers: %w", err)
	}
	return os.RemoveAll(dir)
}
