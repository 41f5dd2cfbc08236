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

// Expose raises this process's own value for good, as the command's is. One that is raised already
// stays.
func Expose() {
	fd := oomScore()
	if fd < 0 {
		return
	}
	defer syscall.Close(fd)
	if own, ok := readScore(fd); ok && own < expendableBy {
		writeScore(fd, own+expendableBy)
	}
}

// expendable raises the value and returns what restores it. Where it cannot be
// raised (it is at its maximum, or /proc is not there) it stays as it is.
func (s *Spawner) expendable() (restore func()) {
	own, ok := readScore(s.oom)
	if !ok {
		return func() {}
	}
	writeScore(s.oom, min(own+expendableBy, 1000))
	return func() { writeScore(s.oom, own) }
}

func readScore(fd int) (int, bool) {
	var buf [16]byte
	n, err := syscall.Pread(fd, buf[:], 0)
	if err != nil {
		return 0, false
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	return score, err == nil
}

func writeScore(fd, score int) {
	_, _ = syscall.Pwrite(fd, strconv.AppendInt(nil, int64(score), 10), 0)
}
