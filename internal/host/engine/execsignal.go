package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// Signal sends a signal to the command's process group, as a terminal would. The engine's interface has
// no call for that, but tells the process's number on this machine. A user who may not signal it
// there has a shell in the container do so. A command that has ended is no error.
func (x *Exec) Signal(ctx context.Context, sig unix.Signal) error {
	res, err := x.e.c.ExecInspect(ctx, x.id, client.ExecInspectOptions{})
	if err != nil || !res.Running || res.PID == 0 {
		return wrap(err, ErrNoContainer, "cannot send %s to the command", unix.SignalName(sig))
	}
	// While the descriptor is open the number is this process's, or no process's.
	fd, err := unix.PidfdOpen(res.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err == nil {
		defer unix.Close(fd)
		err = unix.PidfdSendSignal(fd, 0, nil, 0)
	}
	if err == nil {
		target := res.PID
		if group, gerr := unix.Getpgid(res.PID); gerr == nil && group == res.PID {
			target = -group
		}
		err = unix.Kill(target, sig)
	}
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil
	case errors.Is(err, unix.EPERM):
		return x.signalInside(ctx, res.PID, sig)
	case err != nil:
		return fmt.Errorf("cannot send %s to the command, process %d: %w", unix.SignalName(sig), res.PID, err)
	}
	return nil
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
