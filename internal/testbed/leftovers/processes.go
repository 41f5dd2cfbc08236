package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func commandOf(command []string, tmp string) *exec.Cmd {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), mark(tmp))
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	return cmd
}

// mark is the variable by which a process of the run is known, under any parent.
func mark(tmp string) string { return "TMPDIR=" + tmp }

// reapUntil waits for every child until the given one ends. Nothing else may wait meanwhile.
func reapUntil(pid int) unix.WaitStatus {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		if err != nil && err != unix.EINTR {
			return status
		}
		if got == pid {
			return status
		}
	}
}

// endProcesses ends the processes that the command has left, and says which they were. A process
// that the command has told to end gets a second to do so.
func endProcesses(tmp string) []string {
	deadline := time.Now().Add(min(settle, time.Second))
	found := processes(tmp)
	for ; len(found) > 0 && time.Now().Before(deadline); found = processes(tmp) {
		time.Sleep(20 * time.Millisecond)
	}
	var left []string
	for _, p := range found {
		left = append(left, fmt.Sprintf("left: process %d: %s", p, commandLine(p)))
	}
	for deadline := time.Now().Add(patience); len(found) > 0 && time.Now().Before(deadline); found = processes(tmp) {
		for _, p := range found {
			_ = unix.Kill(p, unix.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return left
}

// processes finds the living processes of the run: the descendants of this process, and those
// that have the mark in their environment.
func processes(tmp string) []int {
	for { // the dead are not left
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && err != unix.EINTR {
			break
		}
	}
	parents := map[int]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		if parent, ok := parentOf(pid); ok {
			parents[pid] = parent
		}
	}
	var found []int
	for pid := range parents {
		if pid != os.Getpid() && (descends(pid, parents) || marked(pid, tmp)) {
			found = append(found, pid)
		}
	}
	return found
}

func descends(pid int, parents map[int]int) bool {
	for ; pid > 1; pid = parents[pid] {
		if parents[pid] == os.Getpid() {
			return true
		}
	}
	return false
}

// parentOf is the parent of a process that lives; a zombie is its parent's business.
func parentOf(pid int) (int, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// proc_pid_stat(5): the name in parentheses may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

func marked(pid int, tmp string) bool {
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return bytes.Contains(append([]byte{0}, env...), []byte("\x00"+mark(tmp)+"\x00"))
}

func commandLine(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
}
