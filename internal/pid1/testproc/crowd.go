package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fork is fork(2) for a child that only makes system calls: it shares the runtime's
// memory by copy-on-write and has none of its threads. run must not grow the stack,
// allocate or return.
//
//go:norace
//go:nosplit
//go:noinline
func fork(gate int, orphan bool) (pid int, errno syscall.Errno) {
	r, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || r != 0 {
		return int(r), e
	}
	if orphan { // a child that makes the orphan and ends
		r, _, e = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if e != 0 || r != 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	if gate >= 0 {
		var b byte
		read(gate, &b)
	}
	syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 3, 0, 0)
	return 0, 0
}

// orphans makes N children that wait, hands them to the init by ending the process in
// between, lets them all end at once, and says in how many microseconds they are reaped.
func orphans(args []string) error {
	n := number(args, 100)
	var gate [2]int
	if err := unix.Pipe2(gate[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	pids, err := crowd(n, gate)
	if err != nil {
		return err
	}
	fmt.Println("ready", len(pids))
	start := time.Now()
	if err := unix.Close(gate[1]); err != nil {
		return err
	}
	// A number is free once its zombie is reaped. Each is asked for until it is, so that the
	// looking costs one call a process and a few for waiting.
	for _, pid := range pids {
		for unix.Kill(pid, 0) == nil {
			time.Sleep(500 * time.Microsecond)
		}
	}
	fmt.Println("reaped", time.Since(start).Microseconds())
	return nil
}

// crowd forks the waiting processes from one in between, and collects their numbers.
func crowd(n int, gate [2]int) ([]int, error) {
	between, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pipe, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer pipe.Close()
	r := bufio.NewReader(pipe)
	child, err := os.StartProcess(between, []string{"testproc", "waiters", fmt.Sprint(n)}, &os.ProcAttr{
		Files: []*os.File{nil, w, os.Stderr, os.NewFile(uintptr(gate[0]), "gate")},
	})
	w.Close()
	if err != nil {
		return nil, err
	}
	var pids []int
	// By number: the waiters hold the other end, so that this never ends by itself.
	for len(pids) < n {
		var pid int
		if _, err := fmt.Fscan(r, &pid); err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	if state, err := child.Wait(); err != nil || !state.Success() {
		return nil, fmt.Errorf("not all of %d could be made: %v, %w", n, state, err)
	}
	return pids, nil
}

// waiters is the process in between: descriptor 3 is the gate.
func waiters(args []string) error {
	for range number(args, 0) {
		pid, errno := fork(3, false)
		if errno != 0 {
			return errno
		}
		fmt.Println(pid)
	}
	return nil
}

// storm forks short-lived orphans as fast as it can and ignores every signal.
func storm([]string) error {
	if err := deaf(); err != nil {
		return err
	}
	fmt.Println("ready", os.Getpid())
	for {
		if _, errno := fork(-1, true); errno != 0 && !errors.Is(errno, syscall.EAGAIN) {
			return errno
		}
		var ws syscall.WaitStatus
		for {
			if pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil); err != nil || pid <= 0 {
				break
			}
		}
	}
}

// bomb forks children that stay, until the limit is reached, and goes on trying.
func bomb([]string) error {
	if err := deaf(); err != nil {
		return err
	}
	var never [2]int
	if err := unix.Pipe2(never[:], 0); err != nil {
		return err
	}
	for full := false; ; {
		_, errno := fork(never[0], false)
		if errno == 0 {
			full = false
			continue
		}
		if !full {
			fmt.Println("full")
		}
		full = true
		time.Sleep(time.Millisecond)
	}
}

// hog takes memory and touches it.
func hog([]string) error {
	fmt.Println("ready", os.Getpid())
	var all [][]byte
	for {
		piece := make([]byte, 8<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		all = append(all, piece)
		if len(all) > 1<<14 {
			return errors.New("it was not stopped")
		}
	}
}
