package main

import (
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

// termLate leaves a child that signals every process which starts after the first SIGTERM, and
// becomes the real one.
func termLate() {
	child := exec.Command("/proc/self/exe")
	child.Env = []string{lateVariable + "=1"}
	if err := child.Start(); err != nil {
		fatal(err)
	}
	become()
}

// signalLate waits for SIGTERM and then sends it to all others again and again, until none is
// left. It polls: the fault is one from the first instant on.
func signalLate() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
	for {
		pids := others()
		if len(pids) == 0 {
			os.Exit(0)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGTERM)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// others are the agent's processes: the command, and the sessions.
func others() (pids []int) {
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
