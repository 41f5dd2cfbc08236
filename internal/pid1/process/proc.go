package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Proc is a process as /proc/PID/stat has it.
type Proc struct {
	PID, PPID int
	Session   int    // the number of the process that has made its session with setsid(2)
	Comm      string // up to 15 bytes
	State     byte
	Threads   int
	Start     uint64 // clock ticks after boot: with PID it names one process for ever
}

// Alive is false for a process that has ended and waits for its parent to notice.
// A zombie with more than one thread is a leader whose other threads still run.
func (p Proc) Alive() bool {
	switch p.State {
	case 'Z':
		return p.Threads > 1
	case 'X', 'x':
		return false
	}
	return true
}

// Stopped says whether the process stands still until SIGCONT (signal(7)).
func (p Proc) Stopped() bool { return p.State == 'T' }

// Ticks is the present instant in the unit of Proc.Start: CLOCK_BOOTTIME in USER_HZ, which is 100 on
// amd64 and arm64. 0 where the clock cannot be read, which is before every start.
func Ticks() uint64 {
	const perTick = 1e9 / 100
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return uint64(t.Nano()) / perTick
}

// pids lists the processes of this PID namespace.
func pids() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot look for processes: %w; /proc must be mounted", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot look for processes: %w", err)
	}
	list := make([]int, 0, len(names))
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if pid, err := strconv.Atoi(name); err == nil {
			list = append(list, pid)
		}
	}
	return list, nil
}

// stat reads one process; false when it has ended.
func stat(pid int) (Proc, bool) {
	var path [32]byte
	name := append(strconv.AppendInt(append(path[:0], "/proc/"...), int64(pid), 10), "/stat"...)
	fd, err := syscall.Open(string(name), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return Proc{}, false
	}
	defer syscall.Close(fd)
	var buf [1024]byte
	n, err := syscall.Read(fd, buf[:])
	if err != nil || n <= 0 {
		return Proc{}, false // ESRCH: it ended after the open
	}
	p, err := parseStat(buf[:n])
	return p, err == nil
}

var errStat = errors.New("not a line of /proc/PID/stat")

// parseStat reads the fields of proc_pid_stat(5) that are wanted here. The command's
// name may hold blanks and parentheses, so that the last one ends it.
func parseStat(line []byte) (Proc, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return Proc{}, errStat
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	rest := bytes.Fields(line[end+1:]) // from field 3 on
	const ppid, session, threads, start = 4 - 3, 6 - 3, 20 - 3, 22 - 3
	if err != nil || len(rest) <= start || len(rest[0]) != 1 {
		return Proc{}, errStat
	}
	p := Proc{PID: pid, Comm: string(line[open+1 : end]), State: rest[0][0]}
	var e1, e2, e3, e4 error
	p.PPID, e1 = strconv.Atoi(string(rest[ppid]))
	p.Session, e4 = strconv.Atoi(string(rest[session]))
	p.Threads, e2 = strconv.Atoi(string(rest[threads]))
	p.Start, e3 = strconv.ParseUint(string(rest[start]), 10, 64)
	if errors.Join(e1, e2, e3, e4) != nil {
		return Proc{}, errStat
	}
	return p, nil
}
