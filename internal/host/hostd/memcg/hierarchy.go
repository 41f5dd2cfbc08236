package memcg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// hierarchy is where the machine has the memory controller (cgroups(7)).
type hierarchy struct {
	unified bool   // cgroup v2
	mount   string // where it is mounted
	root    string // the cgroup that is mounted there
}

var errNoHierarchy = errors.New("the memory controller is not mounted")

// findHierarchy reads /proc/self/mountinfo (proc_pid_mountinfo(5)). The memory controller is in
// version 1 or in version 2, never in both.
func findHierarchy(mountinfo string) (h hierarchy, err error) {
	for line := range strings.Lines(mountinfo) {
		mount, source, ok := strings.Cut(line, " - ")
		fields, fs := strings.Fields(mount), strings.Fields(source)
		if !ok || len(fields) < 5 || len(fs) < 3 {
			continue
		}
		switch {
		case fs[0] == "cgroup" && slices.Contains(strings.Split(fs[2], ","), "memory"):
			return hierarchy{mount: fields[4], root: fields[3]}, nil
		case fs[0] == "cgroup2":
			h = hierarchy{unified: true, mount: fields[4], root: fields[3]}
		}
	}
	if !h.unified {
		return h, errNoHierarchy
	}
	return h, nil
}

// of finds a process's cgroup from its /proc/PID/cgroup.
func (h hierarchy) of(procCgroup string) (string, error) {
	for line := range strings.Lines(procCgroup) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		memory := slices.Contains(strings.Split(parts[1], ","), "memory")
		if h.unified && parts[0] != "0" || !h.unified && !memory {
			continue
		}
		below, err := filepath.Rel(h.root, parts[2])
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			return "", fmt.Errorf("the cgroup %s is not below %s, which is mounted at %s", parts[2], h.root, h.mount)
		}
		return filepath.Join(h.mount, below), nil
	}
	return "", errNoHierarchy
}

func cgroupOf(pid int) (hierarchy, string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return hierarchy{}, "", err
	}
	h, err := findHierarchy(string(mounts))
	if err != nil {
		return h, "", err
	}
	own, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return h, "", err
	}
	path, err := h.of(string(own))
	return h, path, err
}
