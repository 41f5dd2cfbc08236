package process

import (
	"strconv"
	"strings"
	"syscall"
)

// expendableBy is added to the workload's oom_score_adj: half of the container's
// memory in the kernel's scoring (proc_pid_oom_score_adj(5)), more than PID 1 and the
// storage process ever use.
const expendableBy = 500

// oomScore opens this process's value. It must be open before the process makes
// itself non-dumpable: after that the file is root's.
func oomScore() int {
	fd, err := syscall.Open("/proc/self/oom_score_adj", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// expendable raises the value and returns what restores it. Where it cannot be
// raised (it is at its maximum, or /proc is not there) it stays as it is.
func (s *Spawner) expendable() (restore func()) {
	var buf [16]byte
	n, err := syscall.Pread(s.oom, buf[:], 0)
	if err != nil {
		return func() {}
	}
	own, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return func() {}
	}
	write := func(v int) { _, _ = syscall.Pwrite(s.oom, strconv.AppendInt(nil, int64(v), 10), 0) }
	write(min(own+expendableBy, 1000))
	return func() { write(own) }
}
