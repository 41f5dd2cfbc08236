package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// lateVariable makes this program the child that signals what starts during a stop.
const lateVariable = "FAULTYINIT_SIGNALS_LATE"

// termLate leaves a child that signals each cleanup which starts after the first SIGTERM, and becomes the real one.
func termLate() {
	child := exec.Command("/proc/self/exe")
	child.Env = []string{lateVariable + "=1"}
	if err := child.Start(); err != nil {
		fatal(err)
	}
	become()
}

// signalLate waits for SIGTERM and then sends it to each cleanup, until no process of the agent's is left. It polls: the
// fault is one from the first instant on. It spares a process between fork and exec, and a health check: they may be gone
// before they are found, and a fault that hit them would show only now and then.
func signalLate() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
	for {
		pids := agents()
		if len(pids) == 0 {
			os.Exit(0)
		}
		for _, pid := range pids {
			if isCleanup(pid) {
				_ = unix.Kill(pid, unix.SIGTERM)
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// agents are the agent's processes: the command, and the sessions.
func agents() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+e.Name(), &st) == nil && st.Uid == contract.AgentUID {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isCleanup says whether a process is the suite's probe at its cleanup, which takes a second.
func isCleanup(pid int) bool {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty when it has ended
	args := bytes.Split(line, []byte{0})
	return len(args) > 1 && string(args[1]) == "linger"
}
