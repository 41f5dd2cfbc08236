package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/pid1/process"
	"github.com/matrx/sandbox/internal/pid1/sigtramp"
)

// number is the first argument.
func number(args []string, otherwise int) int {
	if len(args) > 0 {
		if n, err := strconv.Atoi(args[0]); err == nil {
			return n
		}
	}
	return otherwise
}

func exit(args []string) error {
	os.Exit(number(args, 0))
	return nil
}

// die resets the signal's action, since the runtime has its own for some.
func die(args []string) error {
	sig := syscall.Signal(number(args, 9))
	if sig != unix.SIGKILL && sig != unix.SIGSTOP {
		if err := sigtramp.SetAction(sig, sigtramp.Default); err != nil {
			return err
		}
	}
	if err := unix.Kill(os.Getpid(), sig); err != nil {
		return err
	}
	time.Sleep(time.Hour) // until it arrives
	return nil
}

func pause(args []string) error {
	caught, err := process.CatchSignals()
	if err != nil {
		return err
	}
	fmt.Println("ready", os.Getpid())
	for sig := range caught.C {
		if sig == unix.SIGTERM || sig == unix.SIGINT {
			fmt.Println(unix.SignalName(sig))
			os.Exit(number(args, 0))
		}
	}
	return nil
}

// ignore catches everything and acts on nothing; it prints the numbers of the
// signals that it ignores.
func ignore(args []string) error {
	caught, err := process.CatchSignals()
	if err != nil {
		return err
	}
	fmt.Println("ready", os.Getpid())
	for sig := range caught.C {
		fmt.Println("ignored", int(sig))
	}
	return nil
}

// signals says every signal that it gets, and ends with USR2 or, so that no test hangs,
// with its standard input.
func signals([]string) error {
	caught, err := process.CatchSignals()
	if err != nil {
		return err
	}
	fmt.Println("ready", os.Getpid())
	for sig := range caught.C {
		fmt.Println("signal", int(sig))
		if sig == unix.SIGUSR2 {
			return nil
		}
	}
	return nil
}

// inherited says, one "name value" a line, what execve has kept.
func inherited([]string) error {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return err
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name {
		case "SigBlk", "SigIgn", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Groups", "Uid", "Gid", "Umask":
			fmt.Println(name, strings.TrimSpace(value))
		}
	}
	session, err := unix.Getsid(0)
	if err != nil {
		return err
	}
	parent, err := unix.Getsid(os.Getppid())
	if err != nil {
		return err
	}
	fmt.Println("own-group", syscall.Getpgrp() == os.Getpid())
	fmt.Println("parents-session", session == parent)
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return err
	}
	// The runtime raises its own number of open files; execve has kept the lower one,
	// which a shell would see.
	for line := range strings.Lines(string(limits)) {
		if !strings.HasPrefix(line, "Max open files") && !strings.HasPrefix(line, "Limit") {
			fmt.Println("limit", strings.Join(strings.Fields(line), " "))
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.HasPrefix(target, "anon_inode") {
			fmt.Println("fd", fd.Name())
		}
	}
	for _, kv := range os.Environ() {
		fmt.Println("env", kv)
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	fmt.Println("oom_score_adj", strings.TrimSpace(string(score)))
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	fmt.Println("wd", wd)
	return nil
}
