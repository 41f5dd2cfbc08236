package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func idle([]string) (int, error) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
	return 0, nil
}

func exit(args []string) (int, error) {
	n, err := first(args, "N")
	if err != nil {
		return 2, err
	}
	return strconv.Atoi(n)
}

func killSelf(args []string) (int, error) {
	n, err := first(args, "N")
	if err != nil {
		return 2, err
	}
	sig, err := strconv.Atoi(n)
	if err != nil {
		return 2, err
	}
	// The Go runtime handles most signals itself: the default disposition must come back first.
	signal.Reset()
	if err := resetDisposition(syscall.Signal(sig)); err != nil {
		return 1, err
	}
	if err := syscall.Kill(os.Getpid(), syscall.Signal(sig)); err != nil {
		return 1, err
	}
	select {}
}

// resetDisposition replaces this process by sleep's equivalent that has default
// dispositions: none is needed for SIGKILL; for others the default action is not possible beside the runtime's
// handlers, so the runtime's own crash path is asked for.
func resetDisposition(sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		return nil
	}
	// rt_sigaction(2) with SIG_DFL: the kernel's structure is 32 bytes of zeroes.
	var zero [32]byte
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), addressOf(&zero), 0, 8, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func say(args []string) (int, error) {
	fmt.Printf("probe-said %s\n", strings.Join(args, " "))
	return 0, nil
}

func self([]string) (int, error) {
	groups, err := os.Getgroups()
	if err != nil {
		return 1, err
	}
	umask := unix.Umask(0)
	unix.Umask(umask)
	env := map[string]string{}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 1, err
	}
	caps := map[string]uint64{}
	noNewPrivs, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) // gVisor's status has no such line
	if err != nil {
		return 1, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if strings.HasPrefix(name, "Cap") {
			if caps[name], err = strconv.ParseUint(value, 16, 64); err != nil {
				return 1, err
			}
		}
	}
	// A kernel that does not know the ambient set, as gVisor, has none.
	if _, known := caps["CapAmb"]; !known && errors.Is(unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, 0, 0, 0), unix.EINVAL) {
		caps["CapAmb"] = 0
	}
	out, err := json.Marshal(map[string]any{
		"UID": os.Getuid(), "EUID": os.Geteuid(), "GID": os.Getgid(), "EGID": os.Getegid(), "Groups": groups, "Umask": umask,
		"Env": env, "NoNewPrivs": noNewPrivs == 1, "Caps": caps, "PPid": os.Getppid(),
	})
	if err != nil {
		return 1, err
	}
	fmt.Printf("probe-self %s\n", out)
	return 0, nil
}

func exe(args []string) (int, error) {
	pid, err := first(args, "PID")
	if err != nil {
		return 2, err
	}
	// As root without SYS_PTRACE the link of a non-dumpable process cannot be read; its
	// name and its first argument can.
	if target, err := os.Readlink("/proc/" + pid + "/exe"); err == nil {
		fmt.Print(target)
		return 0, nil
	}
	cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err != nil {
		return 1, err
	}
	first, _, _ := bytes.Cut(cmdline, []byte{0})
	fmt.Print(string(first))
	return 0, nil
}

// orphans starts a child that starts N children and ends: they end as orphans.
func orphans(args []string) (int, error) {
	n, err := first(args, "N")
	if err != nil {
		return 2, err
	}
	if len(args) > 1 { // the child
		count, err := strconv.Atoi(n)
		if err != nil {
			return 2, err
		}
		for range count {
			if err := exec.Command("/proc/self/exe", "exit", "0").Start(); err != nil {
				return 1, err
			}
		}
		return 0, nil
	}
	return 0, exec.Command("/proc/self/exe", "orphans", n, "child").Run()
}

// zombies prints how many processes are dead and not reaped.
func zombies([]string) (int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 1, err
	}
	n := 0
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it is gone: not a zombie
		}
		// The state follows the last ")" (proc_pid_stat(5)).
		if i := bytes.LastIndexByte(data, ')'); i >= 0 && bytes.HasPrefix(data[i:], []byte(") Z")) {
			n++
		}
	}
	fmt.Print(n)
	return 0, nil
}

// armed says that signals are taken from now on.
func armed(path string) error { return os.WriteFile(path+".armed", nil, 0o644) }

func onTerm(args []string) (int, error) {
	return term(args, func() (int, bool) { return 0, true })
}

func ignoreTerm(args []string) (int, error) {
	return term(args, func() (int, bool) { return 0, false })
}

func term(args []string, then func() (code int, end bool)) (int, error) {
	path, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	if err := armed(path); err != nil {
		return 1, err
	}
	for range c {
		if err := os.WriteFile(path, []byte("told to end\n"), 0o644); err != nil {
			return 1, err
		}
		if code, end := then(); end {
			return code, nil
		}
	}
	return 0, errors.New("unreachable")
}

// cleanup is a command that saves its work in another process when it is told to end. The
// child acts on SIGTERM as most programs do: it ends.
func cleanup(args []string) (int, error) {
	return term(args, func() (int, bool) {
		child := exec.Command("/proc/self/exe", "linger", args[0])
		child.Stderr = os.Stderr
		if err := child.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "probe: the cleanup:", err)
			return 1, true
		}
		return 0, true
	})
}

func linger(args []string) (int, error) {
	path, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	time.Sleep(time.Second) // the work
	return 0, os.WriteFile(path, []byte("saved\n"), 0o644)
}

// onStop waits for SIGTERM and then says whether FILE exists and how CMD ends: what is true
// while a sandbox is being stopped can be seen only from inside of it.
func onStop(args []string) (int, error) {
	if len(args) < 3 {
		return 2, errors.New("usage: on-stop PATH FILE CMD ARGUMENTS")
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	if err := armed(args[0]); err != nil {
		return 1, err
	}
	<-c
	_, missing := os.Lstat(args[1])
	cmd := exec.Command(args[2], args[3:]...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || !cmd.ProcessState.Exited() {
		return 1, fmt.Errorf("%s: %w", args[2], err)
	}
	fmt.Printf("probe-stop file=%t code=%d %s\n", missing == nil, cmd.ProcessState.ExitCode(), bytes.TrimSpace(out))
	return 0, nil
}

func signals(args []string) (int, error) {
	path, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	c := make(chan os.Signal, 64)
	for s := syscall.Signal(1); s < 32; s++ {
		if s != syscall.SIGURG && s != syscall.SIGCHLD { // the runtime's own, and children's
			signal.Notify(c, s)
		}
	}
	if err := armed(path); err != nil {
		return 1, err
	}
	for s := range c {
		if err := os.WriteFile(path+"."+unix.SignalName(s.(syscall.Signal)), nil, 0o644); err != nil {
			return 1, err
		}
		if s == syscall.SIGTERM {
			break
		}
	}
	return 0, nil
}
