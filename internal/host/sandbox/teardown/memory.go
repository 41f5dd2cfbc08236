package teardown

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// kernelLog has what the kernel says (Documentation/ABI/testing/dev-kmsg). Where
// kernel.dmesg_restrict is set, root alone may read it.
const kernelLog = "/dev/kmsg"

// readVictims asks the kernel's log for the processes of a container that were ended at
// its memory limit since it began; none where the log may not be read or has forgotten. The engine
// tells that there were some, and never which; of those in the workload's own cgroup
// (package memcg) it tells nothing on cgroup v1.
func readVictims(container string, began time.Time) []datadir.Victim {
	fd, err := unix.Open(kernelLog, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var out []datadir.Victim
	line := make([]byte, 8192) // the kernel's own bound of one record
	for {
		n, err := unix.Read(fd, line)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR):
			continue // overwritten while it was read: the next is the oldest there is
		case err != nil || n == 0:
			return out
		}
		if v, ok := parseVictim(string(line[:n]), container); ok && age(string(line[:n])) <= time.Since(began)+time.Second {
			out = append(out, v)
		}
	}
}

// age is how long ago the kernel wrote a record: the third field counts microseconds of a clock
// that stands still while the machine sleeps, as CLOCK_MONOTONIC does.
func age(record string) time.Duration {
	fields := strings.SplitN(record, ",", 4)
	var now unix.Timespec
	if len(fields) < 4 || unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return 0
	}
	at, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(now.Nano() - at*int64(time.Microsecond))
}

// parseVictim reads one record. What counts is the summary that the kernel writes since 4.19:
//
//	6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=ID,mems_allowed=0,
//	oom_memcg=/docker/ID,task_memcg=/docker/ID,task=tail,pid=7,uid=1000
//
// in one line. The name is the process's own to choose, so it is read from the end, where
// nothing that a name holds can stand for something else.
func parseVictim(record, container string) (v datadir.Victim, ok bool) {
	_, text, _ := strings.Cut(record, ";")
	text, _, _ = strings.Cut(text, "\n")
	if !strings.HasPrefix(text, "oom-kill:") {
		return v, false
	}
	// The container's own cgroup is an element of its path, with systemd as docker-ID.scope; the
	// workload's is below it (package memcg).
	_, memcg, found := strings.Cut(text, ",oom_memcg=")
	memcg, rest, cut := strings.Cut(memcg, ",task_memcg=")
	if !found || !cut || container == "" || !inCgroup(memcg, container) {
		return v, false
	}
	_, task, found := strings.Cut(rest, ",task=")
	u := strings.LastIndex(task, ",uid=")
	if !found || u < 0 {
		return v, false
	}
	p := strings.LastIndex(task[:u], ",pid=")
	if p < 0 {
		return v, false
	}
	pid, perr := strconv.Atoi(task[p+len(",pid=") : u])
	uid, uerr := strconv.Atoi(task[u+len(",uid="):])
	return datadir.Victim{Name: task[:p], PID: pid, UID: uid}, perr == nil && uerr == nil
}

// inCgroup says whether a cgroup is the container's own or its workload's.
func inCgroup(memcg, container string) bool {
	return strings.Contains(path.Base(memcg), container) || strings.Contains(path.Base(path.Dir(memcg)), container)
}

// ofMemory adds to a reason what the memory limit has done.
func ofMemory(reason string, limit int64, victims []datadir.Victim) string {
	what := "processes"
	if len(victims) > 0 {
		var names []string
		for _, v := range victims[max(0, len(victims)-mostNamed):] {
			names = append(names, strconv.Quote(v.Name))
		}
		what = strings.Join(names, ", ")
		if more := len(victims) - len(names); more > 0 {
			what += fmt.Sprintf(" and %d more", more)
		}
	}
	text := "the memory limit ended " + what
	if limit != 0 {
		text = fmt.Sprintf("the memory limit of %d MB ended %s", limit>>20, what)
	}
	if reason != "" {
		return reason + "; " + text
	}
	return text
}

const mostNamed = 3
