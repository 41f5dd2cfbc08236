package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// Signal sends a signal to the command's process group, as a terminal would. The engine's interface has
// no call for that, but tells the process's number on this machine. A user who may not signal it
// there has a shell in the container do so. A command that has ended is no error.
func (x *Exec) Signal(ctx context.Context, sig unix.Signal) error {
	pid, err := x.process(ctx)
	if err != nil || pid == 0 {
		return wrap(err, ErrNoContainer, "cannot send %s to the command", unix.SignalName(sig))
	}
	// While the descriptor is open the number is this process's, or no process's.
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err == nil {
		defer unix.Close(fd)
		err = unix.PidfdSendSignal(fd, 0, nil, 0)
	}
	if err == nil {
		target := pid
		if group, gerr := unix.Getpgid(pid); gerr == nil && group == pid {
			target = -group
		}
		err = unix.Kill(target, sig)
	}
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil
	case errors.Is(err, unix.EPERM):
		return x.signalInside(ctx, pid, sig)
	case err != nil:
		return fmt.Errorf("cannot send %s to the command, process %d: %w", unix.SignalName(sig), pid, err)
	}
	return nil
}

// beginsWithin is how long an engine may take to say which process a command is.
const beginsWithin = 5 * time.Second

// errBegins says that the engine has not said which process a command is.
var errBegins = errors.New("the engine does not say which process it is")

// process is the number on this machine of a command's process, 0 when that has ended. The engine joins the streams
// before it starts the command, and says which process it is a moment after its first output may have come.
func (x *Exec) process(ctx context.Context) (int, error) {
	late := time.Now().Add(beginsWithin)
	for began := false; ; {
		res, err := x.e.c.ExecInspect(ctx, x.id, client.ExecInspectOptions{})
		if err != nil || res.Running && res.PID != 0 {
			return res.PID, err
		}
		if began && !res.Running {
			return 0, nil
		}
		began = began || res.Running
		select {
		case <-x.over:
			return 0, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond): // nothing says when the engine knows
		}
		if time.Now().After(late) {
			return 0, errBegins
		}
	}
}

// signalInside has a shell of the container send the signal, with the rights that the command has.
func (x *Exec) signalInside(ctx context.Context, pid int, sig unix.Signal) error {
	inner, err := innerPID(pid)
	if err != nil {
		return fmt.Errorf("cannot send %s to the command: %w", unix.SignalName(sig), err)
	}
	name := strings.TrimPrefix(unix.SignalName(sig), "SIG")
	made, err := x.e.c.ExecCreate(ctx, x.container, client.ExecCreateOptions{
		User: x.user, Cmd: []string{"sh", "-c", `kill -s "$0" -- "-$1" || kill -s "$0" "$1"`, name, strconv.Itoa(inner)},
	})
	if err == nil {
		_, err = x.e.c.ExecStart(ctx, made.ID, client.ExecStartOptions{Detach: true})
	}
	return wrap(err, ErrNoContainer, "cannot send %s to the command", unix.SignalName(sig))
}

// innerPID is a process's number in its own PID namespace, proc_pid_status(5).
func innerPID(pid int) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if numbers, ok := strings.CutPrefix(s.Text(), "NSpid:"); ok {
			all := strings.Fields(numbers)
			if len(all) == 0 {
				break
			}
			return strconv.Atoi(all[len(all)-1])
		}
	}
	return 0, errors.New("the kernel does not tell its number in the container")
}
