package memcg

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// expendable is what the workload's processes have at least in oom_score_adj: sandbox-init raises
// the command's by as much.
const expendable = 500

// member is a process of a container, with numbers and users of this machine.
type member struct {
	pid, ppid int
	inner     int    // its number in the innermost PID namespace, the container's
	uid       string // the real one
}

func identify(pid int) (m member, ok bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, false
	}
	m.pid = pid
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch name {
		case "PPid":
			m.ppid, err = strconv.Atoi(fields[0])
		case "NSpid":
			m.inner, _ = strconv.Atoi(fields[len(fields)-1])
		case "Uid":
			m.uid = fields[0]
		}
	}
	return m, err == nil && m.uid != ""
}

// IsPID1 says that a process is the first of its PID namespace.
func IsPID1(pid int) bool {
	m, ok := identify(pid)
	return ok && m.inner == 1
}

// isInit says that a process is PID 1, storage, or what PID 1 has forked and not yet made the agent's:
// a child of PID 1 with PID 1's user and PID 1's program. The engine's exec may run a program as root as well, whose
// orphans are PID 1's children.
func (m member) isInit(pid1 member) bool {
	return m.pid == pid1.pid || m.ppid == pid1.pid && m.uid == pid1.uid && executable(m.pid) == executable(pid1.pid)
}

// executable is the path of a process's program as its own mounts have it, or nothing where it has ended.
func executable(pid int) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return path
}

// expose raises a process's oom_score_adj to the workload's. Written with SYS_RESOURCE the value is a
// floor, which children inherit (proc_pid_oom_score_adj(5)). A process that has ended, or may not be
// written to, is left.
func expose(pid int) {
	name := fmt.Sprintf("/proc/%d/oom_score_adj", pid)
	text, err := os.ReadFile(name)
	if err != nil {
		return
	}
	own, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return
	}
	_ = os.WriteFile(name, strconv.AppendInt(nil, int64(max(own, expendable)), 10), 0)
}
