package memcg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// The children of a container's cgroup. On cgroup v2 a cgroup that divides a resource among
// children holds no processes itself, so that PID 1 and storage get one as well.
const (
	workloadName = "workload"
	initName     = "init"
)

// Group is a container's cgroup that has been divided. It may be used by several goroutines.
type Group struct {
	pid1     int
	inits    string // the directory of the cgroup that PID 1 is in
	workload string

	mu    sync.Mutex
	again int // how often the workload's scores are still to be raised once more
}

// ErrEnded says that the container has ended.
var ErrEnded = errors.New("the container has ended")

// Divide divides the cgroup of the container whose PID 1 has this number on this machine. It may be
// called again after a daemon before this one has done it. container is the engine's ID, which the
// cgroup's name holds: the number may be another process's by now. most is what the workload may
// have, in bytes.
func Divide(pid1 int, container string, most int64) (*Group, error) {
	h, dir, err := cgroupOf(pid1)
	if err != nil {
		return nil, ended(err)
	}
	if h.unified && filepath.Base(dir) == initName {
		dir = filepath.Dir(dir)
	}
	if container == "" || !strings.Contains(filepath.Base(dir), container) {
		return nil, fmt.Errorf("process %d is in the cgroup %s, which is not the container's", pid1, dir)
	}
	g := &Group{pid1: pid1, inits: dir, workload: filepath.Join(dir, workloadName)}
	if err := mkdir(g.workload); err != nil {
		return nil, ended(err)
	}
	limit := "memory.limit_in_bytes"
	if h.unified {
		limit = "memory.max"
		g.inits = filepath.Join(dir, initName)
		if err := mkdir(g.inits); err != nil {
			return nil, ended(err)
		}
		if err := delegate(dir, g.inits); err != nil {
			return nil, ended(err)
		}
	}
	if err := write(g.workload, limit, strconv.FormatInt(most, 10)); err != nil {
		return nil, ended(err)
	}
	return g, nil
}

// delegate moves all processes of a cgroup of version 2 into a child and lets it divide memory. A
// process that is exec'd in meanwhile makes the kernel refuse (EBUSY) once more.
func delegate(dir, to string) error {
	for range 100 {
		pids, err := members(dir)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if _, err := move(to, pid); err != nil {
				return err
			}
		}
		err = write(dir, "cgroup.subtree_control", "+memory")
		if !errors.Is(err, syscall.EBUSY) {
			return err
		}
	}
	return fmt.Errorf("cannot divide the cgroup %s: %w", dir, syscall.EBUSY)
}

// ended turns the errors of a cgroup that was removed into ErrEnded.
func ended(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return ErrEnded
	}
	return err
}

func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func write(dir, name, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func members(dir string) (pids []int, err error) {
	list, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	for field := range strings.FieldsSeq(string(list)) {
		if pid, err := strconv.Atoi(field); err == nil && pid != 0 { // 0: of another namespace
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// move moves a process with all its threads. moved is false when it has ended: a child of its own may be left.
func move(dir string, pid int) (moved bool, err error) {
	err = write(dir, "cgroup.procs", strconv.Itoa(pid))
	if errors.Is(err, syscall.ESRCH) {
		return false, nil
	}
	return err == nil, err
}
