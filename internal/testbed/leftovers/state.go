package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A state is what tests must leave as they found it: "mount /mnt" and what is mounted there.
type state map[string]string

// read looks at the machine. What cannot be read is absent, before and after alike.
func read(tmp string) state {
	s := state{}
	s.readModes(tmp)
	s.readFiles(tmp)
	s.readMounts()
	s.readLoops()
	s.readInterfaces()
	s.readEngine()
	return s
}

// readModes reads the modes and owners of the directories that every program shares, and of
// the devices that a test run as root could spoil for others.
func (s state) readModes(tmp string) {
	paths := []string{"/", "/var/tmp", "/var/lib", "/var/lib/docker", "/dev/shm", "/run/lock", tmp, filepath.Dir(tmp)}
	for _, dir := range []string{"/", "/var", "/run"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.IsDir() && !slices.Contains([]string{"/proc", "/sys"}, filepath.Join(dir, e.Name())) {
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
		}
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx", "fuse", "loop-control"} {
		paths = append(paths, filepath.Join("/dev", device))
	}
	if home, err := os.UserHomeDir(); err == nil {
		paths = append(paths, home)
	}
	if here, err := os.Getwd(); err == nil {
		paths = append(paths, here)
	}
	for _, p := range paths {
		if st, err := os.Lstat(p); err == nil {
			owner := st.Sys().(*syscall.Stat_t)
			s["mode "+p] = fmt.Sprintf("%v, owner %d:%d", st.Mode(), owner.Uid, owner.Gid)
		}
	}
}

// readFiles lists what is in the command's own TMPDIR.
func (s state) readFiles(tmp string) {
	entries, _ := os.ReadDir(tmp)
	for _, e := range entries {
		s["file "+filepath.Join(tmp, e.Name())] = kind(e.Type())
	}
}

func kind(m fs.FileMode) string {
	if m.IsDir() {
		return "a directory"
	}
	return "no directory"
}

// readMounts lists the mounts. Those of the engine come and go with its containers and
// networks, which are compared themselves.
func (s state) readMounts() {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		fields := strings.Fields(in.Text()) // proc_pid_mountinfo(5): the fifth is the mount point
		mount, fstype, ok := strings.Cut(in.Text(), " - ")
		if !ok || len(fields) < 5 {
			continue
		}
		at := fields[4]
		if strings.HasPrefix(at, "/var/lib/docker/") || strings.HasPrefix(at, "/run/docker/") {
			continue
		}
		// One mount may lie on another.
		s["mount "+at] += fmt.Sprintf("%s of %s; ", strings.Fields(mount)[3], fstype)
	}
}

// readLoops lists the loop devices that have a file.
func (s state) readLoops() {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		if backing, err := os.ReadFile(f); err == nil {
			s["loop device /dev/"+strings.Split(f, "/")[3]] = strings.TrimSpace(string(backing))
		}
	}
}

// readInterfaces lists the network interfaces, without the ends of containers' own.
func (s state) readInterfaces() {
	links, _ := filepath.Glob("/sys/class/net/*")
	for _, l := range links {
		if name := filepath.Base(l); !strings.HasPrefix(name, "veth") {
			s["network interface "+name] = ""
		}
	}
}

// diff says what was changed, left and removed, in the order of names.
func diff(before, after state) []string {
	var out []string
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, had := before[name]
		is, has := after[name]
		switch {
		case !had:
			out = append(out, strings.TrimSuffix(fmt.Sprintf("left: %s: %s", name, is), ": "))
		case !has:
			out = append(out, strings.TrimSuffix(fmt.Sprintf("removed: %s: %s", name, was), ": "))
		case was != is:
			out = append(out, fmt.Sprintf("changed: %s: was %s; is %s", name, was, is))
		}
	}
	return out
}

// lines puts each on a line of its own.
func lines(list []string) string {
	return "\n  " + strings.Join(list, "\n  ")
}
