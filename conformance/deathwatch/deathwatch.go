// Package deathwatch runs a program that ends when the process that started it has ended, in
// any way: the suite's servers must not outlive a suite that was killed.
//
// The suite starts its own program once more as the deathwatch, and the deathwatch starts the
// server. The deathwatch ends the server when its standard input ends, which the kernel sees
// to when the suite dies; and the server dies with the deathwatch by PR_SET_PDEATHSIG
// (prctl(2)). A deathwatch holds a shared lock on a file as long as it lives, so that the process that
// removes the server's files can wait for its end.
package deathwatch

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is the suite's subcommand that is Main.
const Command = "deathwatch"

// grace is what a server has between SIGTERM and SIGKILL.
const grace = 5 * time.Second

// Spec is a server and how it runs.
type Spec struct {
	Program string              // the suite's own program
	Lock    string              // the file on which the lock is held
	As      *syscall.Credential // nil: as the suite itself
	Argv    []string
}

// New is the watched server, not started. End ends it.
func New(s Spec) *exec.Cmd {
	args := []string{Command, "-lock", s.Lock}
	if s.As != nil {
		args = append(args, "-uid", strconv.FormatUint(uint64(s.As.Uid), 10), "-gid", strconv.FormatUint(uint64(s.As.Gid), 10))
	}
	cmd := exec.Command(s.Program, append(append(args, "--"), s.Argv...)...)
	// A group of its own: Ctrl-C in a terminal is meant for the suite, which ends its servers.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir = "/"
	return cmd
}

// Main is the deathwatch: args are those after Command. It returns the server's exit code.
func Main(args []string) int {
	fs := flag.NewFlagSet(Command, flag.ContinueOnError)
	lock := fs.String("lock", "", "the file that is locked")
	uid := fs.Int64("uid", -1, "the server's user")
	gid := fs.Int64("gid", -1, "the server's group")
	if err := fs.Parse(args); err != nil || fs.NArg() == 0 {
		return say(errors.New("usage: deathwatch -lock FILE [-uid N -gid N] -- PROGRAM ARGUMENTS"))
	}
	if err := Share(*lock); err != nil {
		return say(err)
	}
	// Pdeathsig is sent when the thread that forked has ended, not the process.
	runtime.LockOSThread()
	// It ends at the end of its input, not by a signal to a group.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	cmd := exec.Command(fs.Arg(0), fs.Args()[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = os.Stdout, os.Stderr, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if *uid >= 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(*uid), Gid: uint32(*gid)}
	}
	if err := cmd.Start(); err != nil {
		return say(fmt.Errorf("cannot start %s: %w", fs.Arg(0), err))
	}
	return end(cmd)
}

// end waits for the server's end, or for the input's and brings the server's about.
func end(cmd *exec.Cmd) int {
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(orphaned)
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return code(err)
	case <-orphaned:
	}
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGTERM)
	select {
	case err := <-ended:
		return code(err)
	case <-time.After(grace):
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		return code(<-ended)
	}
}

// Share takes a shared lock on a file until this process has ended (flock(2)).
func Share(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot lock %s: %w", file, err)
	}

	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		return fmt.Errorf("cannot lock %s: %w", file, err)
	}
	held = append(held, f)
	return nil
}

// held keeps the locked files from being closed when they are collected.
var held []*os.File

func code(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	}
	return 1
}

func say(err error) int {
	fmt.Fprintln(os.Stderr, "sandbox-conformance:", err)
	return 2
}
