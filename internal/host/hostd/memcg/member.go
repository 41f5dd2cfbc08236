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
		case "Uid":
			m.uid = fields[0]
		}
	}
	return m, err == nil && m.uid != ""
}

// isInit says that a process is PID 1, storage, or what PID 1 has forked and not yet made the agent's:
// a child of PID 1 with PID 1's user.
func (m member) isInit(pid1 member) bool {
	return m.pid == pid1.pid || m.ppid == pid1.pid && m.uid == pid1.uid
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
