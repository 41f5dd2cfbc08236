package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
)

// weigh compares idle sandboxes with and without an exec server: what their processes have of memory of their own, and
// with their share of the program's file (proportional set size, proc_pid_smaps_rollup(5)).
func weigh(image string) error {
	without, wpss, err := atRest(image, false)
	if err != nil {
		return err
	}
	with, pss, err := atRest(image, true)
	if err != nil {
		return err
	}
	fmt.Printf("at rest: %.1f MB without an exec server, %.1f MB with one (+%.1f MB); proportional set size %.1f and %.1f MB (+%.1f MB; aim: at most +8)\n",
		without, with, with-without, wpss, pss, pss-wpss)
	return nil
}

func atRest(image string, server bool) (anonymous, pss float64, err error) {
	dir, err := os.MkdirTemp("", "bench-exec-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	args := []string{"run", "--detach", "--user", "0", "--cap-drop", "ALL"}
	for _, c := range []string{"SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "FOWNER", "DAC_OVERRIDE"} {
		args = append(args, "--cap-add", c)
	}
	if server {
		args = append(args, "--volume", dir+":"+contract.HostDir, "--env", contract.EnvExecSocket+"="+contract.HostDir+"/"+contract.HostExecSocketName)
	}
	out, err := exec.Command("docker", append(args, image)...).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("cannot start %s: %w", image, err)
	}
	id := strings.TrimSpace(string(out))
	defer func() { _ = exec.Command("docker", "rm", "--force", "--volumes", id).Run() }()
	time.Sleep(time.Second) // at rest
	top, err := exec.Command("docker", "top", id, "-o", "pid").Output()
	if err != nil {
		return 0, 0, fmt.Errorf("cannot list the processes: %w", err)
	}
	for _, pid := range strings.Fields(string(top))[1:] {
		b, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
		if err != nil {
			return 0, 0, fmt.Errorf("%w; the benchmark must run as root", err)
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			kb, _ := strconv.ParseFloat(fields[1], 64)
			switch fields[0] {
			case "Pss:":
				pss += kb / 1e3
			case "Anonymous:":
				anonymous += kb / 1e3
			}
		}
	}
	return anonymous, pss, nil
}
