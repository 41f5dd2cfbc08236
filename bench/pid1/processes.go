package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds every wait of a measurement.
const patience = time.Minute

// rss is what an init weighs in MB once its command sleeps.
func rss(p peer) (float64, error) {
	cmd := p.command("sleep", "600")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer end(cmd)
	if err := until("the command runs", func() bool { return len(children(cmd.Process.Pid)) == 1 }); err != nil {
		return 0, err
	}
	time.Sleep(300 * time.Millisecond) // what is still being set up settles; nothing tells when
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, errors.New("/proc has no VmRSS")
}

// reap is how long in ms an init takes until nothing is left of n orphans that all end at
// once: each of them waits for the end of a pipe that this process holds open.
func reap(p peer, n int, dir string) (float64, error) {
	fifo := filepath.Join(dir, "fifo-"+p.name)
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		return 0, err
	}
	if err := os.Chmod(fifo, 0o666); err != nil {
		return 0, err
	}
	// Read and write, so that opening does not wait for the other end.
	hold, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer hold.Close()
	// The inner shell ends and leaves its children to the init; the outer one stays.
	spawn := fmt.Sprintf("exec 3<%s; i=0; while [ $i -lt %d ]; do (read x <&3) & i=$((i+1)); done", fifo, n)
	cmd := p.command("sh", "-c", "sh -c '"+spawn+"'; exec sleep 600")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer end(cmd)
	if err := until("the orphans are the init's", func() bool { return len(children(cmd.Process.Pid)) == n+1 }); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := hold.Close(); err != nil {
		return 0, err
	}
	if err := until("the orphans are reaped", func() bool { return len(children(cmd.Process.Pid)) == 1 }); err != nil {
		return 0, err
	}
	return float64(time.Since(began).Microseconds()) / 1000, nil
}

// children are a process's, dead ones that are not reaped among them (proc(5), task/children).
func children(pid int) []string {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var all []string
	for _, f := range files {
		b, _ := os.ReadFile(f) // a thread may have ended
		all = append(all, strings.Fields(string(b))...)
	}
	return all
}

func until(what string, ok func() bool) error {
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			return fmt.Errorf("it took more than %s until %s", patience, what)
		}
		<-tick.C
	}
	return nil
}

// end stops an init and what it runs.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
		<-done
	}
}
