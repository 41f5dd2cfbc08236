// Command leftovers runs a command, as a rule all tests, and fails when the machine is not as
// it was before: a changed mode of /tmp, a mount, a loop device, a process, a network interface,
// or a container, network, volume or image of the engine.
//
//	leftovers -record FILE COMMAND [ARG]...
//
// The command gets a TMPDIR of its own, which must be empty in the end. Leftovers ends the
// processes that the command has left; everything else it reports and leaves alone, because
// a mount or a volume may hold what explains the failure.
//
// # Interrupted runs
//
// SIGINT, SIGTERM and SIGHUP go to the command, and the comparison follows as in any other run. A run
// that is killed leaves its record; the next one compares with that record first, and does not
// begin while a difference is left. A record of an earlier boot is worth nothing and is discarded.
//
// # Exit codes
//
// The command's own; 1 when that was 0 and something is left; 128+n after signal n.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long an interrupted command may take to end before it is killed, and a killed process to be gone.
const patience = 30 * time.Second

// settle bounds the wait for what ends by itself a moment later: the engine removes a container
// of `docker run --rm` after its client has returned.
var settle time.Duration

func main() {
	record := flag.String("record", "", "the `file` that keeps the state from before the run while the run lasts")
	flag.DurationVar(&settle, "settle", 10*time.Second, "how long to wait for what ends by itself after the command")
	flag.Parse()
	if *record == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: leftovers -record FILE COMMAND [ARG]...")
		os.Exit(2)
	}
	code, err := run(*record, flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "leftovers: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run runs the command between two looks at the machine.
func run(path string, command []string) (int, error) {
	rec, err := openRecord(path)
	if err != nil {
		return 1, err
	}
	defer rec.close()
	if err := rec.checkEarlier(); err != nil {
		return 1, err
	}
	tmp, err := os.MkdirTemp("", "t")
	if err != nil {
		return 1, err
	}
	if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil {
		return 1, err
	}
	before := read(tmp)
	if err := rec.write(before, tmp); err != nil {
		return 1, err
	}
	code, err := start(command, tmp)
	if err != nil {
		return 1, errors.Join(err, rec.remove())
	}
	left := append(endProcesses(tmp), settled(before, tmp)...)
	if err := rec.remove(); err != nil {
		return 1, err
	}
	if len(left) > 0 {
		return max(code, 1), fmt.Errorf("the machine is not as it was before the run:%s", lines(left))
	}
	return code, os.Remove(tmp)
}

// start runs the command in a process group of its own and waits for its end. This process is
// the subreaper: what outlives its parent becomes its child, and cannot hide.
func start(command []string, tmp string) (int, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1, fmt.Errorf("cannot become a subreaper: %w", err)
	}
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(caught)
	cmd := commandOf(command, tmp)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("cannot start %s: %w", command[0], err)
	}
	ended := make(chan unix.WaitStatus)
	go func() { ended <- reapUntil(cmd.Process.Pid) }()
	interrupted := 0
	var late <-chan time.Time
	for {
		select {
		case s := <-caught:
			interrupted = 128 + int(s.(syscall.Signal))
			_ = unix.Kill(-cmd.Process.Pid, s.(syscall.Signal))
			late = time.After(patience)
		case <-late:
			_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		case status := <-ended:
			if interrupted != 0 {
				return interrupted, nil
			}
			return exitCode(status), nil
		}
	}
}

// settled compares until nothing differs or the time is over.
func settled(before state, tmp string) []string {
	for deadline := time.Now().Add(settle); ; time.Sleep(200 * time.Millisecond) {
		left := diff(before, read(tmp))
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
