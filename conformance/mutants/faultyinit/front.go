package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are what is wrong with a PID 1 that stays in front of the real one.
type options struct {
	exit        func(int) int
	swallowTerm bool      // SIGTERM is not passed on
	noReap      bool      // only the child is waited for
	termOnly    bool      // other signals are not passed on
	killOnTerm  bool      // SIGTERM becomes SIGKILL for every process
	startAnyway bool      // what could not be hydrated is started without storage
	proxy       *rule     // between the real one and S3
	execs       *execRule // between the host and the real one's exec server
}

// inFront runs the real one as a child, with a PID 1 that is otherwise in order: signals are
// passed on, orphans are reaped, the exit code is the child's.
func inFront(o options) {
	if o.proxy != nil {
		serveProxy(*o.proxy, os.Getenv("S3_ENDPOINT"))
		set("S3_ENDPOINT", "unix://"+proxySocket)
	}
	settle := func() {}
	if o.execs != nil {
		settle = serveExecs(*o.execs)
	}
	code := child(o)
	settle()
	if o.startAnyway && code == 75 {
		unset("S3_BUCKET")
		code = child(o)
	}
	if o.exit != nil {
		code = o.exit(code)
	}
	os.Exit(code)
}

func child(o options) int {
	cmd := exec.Command(realInit, os.Args[1:]...)
	cmd.Args[0] = "/usr/local/bin/sandbox-init"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A group of its own, so that what is sent to the group of PID 1 comes once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	signals := make(chan os.Signal, 64)
	for s := syscall.Signal(1); s < 32; s++ {
		if s != syscall.SIGCHLD && s != syscall.SIGURG {
			signal.Notify(signals, s)
		}
	}
	if err := cmd.Start(); err != nil {
		fatal(err)
	}
	go pass(o, signals, cmd.Process.Pid)
	return wait(o, cmd.Process.Pid)
}

func pass(o options, signals <-chan os.Signal, pid int) {
	for s := range signals {
		stop := s == syscall.SIGTERM || s == syscall.SIGINT
		switch {
		case stop && o.swallowTerm, !stop && o.termOnly:
		case stop && o.killOnTerm:
			_ = unix.Kill(-1, unix.SIGKILL)
		default:
			_ = unix.Kill(pid, s.(syscall.Signal))
		}
	}
}

// wait returns the child's exit code, 128+n for a signal.
func wait(o options, pid int) int {
	of := -1
	if o.noReap {
		of = pid
	}
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(of, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			fatal(err)
		case got != pid:
		case ws.Signaled():
			return 128 + int(ws.Signal())
		case ws.Exited():
			return ws.ExitStatus()
		}
	}
}

// keeperVariable marks the process that keeps the ready file.
const keeperVariable = "FAULTYINIT_KEEPS_READY"

// readyEarly leaves a child that keeps the ready file, and becomes the real one.
func readyEarly() {
	keeper := exec.Command("/proc/self/exe")
	keeper.Env = []string{keeperVariable + "=1"}
	if err := keeper.Start(); err != nil {
		fatal(err)
	}
	become()
}

// keepReady makes the ready file whenever it is missing. It polls: what it fakes is wrong
// from the first instant on, and is not waited for.
func keepReady() {
	for range time.Tick(5 * time.Millisecond) {
		if f, err := os.OpenFile("/tmp/.sandbox_ready", os.O_CREATE|os.O_EXCL, 0o644); err == nil {
			f.Close()
		}
	}
}

// naive is an init as images had them: it says that it is ready, runs the command and
// returns its code.
func naive(drop bool) {
	write("/tmp/.sandbox_ready", "")
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		args = []string{"/bin/sleep", "infinity"}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if drop && os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	}
	if err := cmd.Start(); err != nil {
		fatal(err)
	}
	os.Exit(wait(options{}, cmd.Process.Pid))
}
