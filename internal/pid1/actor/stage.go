package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// orphan plays ARGS in a grandchild, whose parent ends at once.
func orphan(args []string) error { return launch(args, false) }

// session does the same in a session and with it a process group of its own.
func session(args []string) error { return launch(args, true) }

func launch(args []string, setsid bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = syscall.ForkExec(self, append([]string{"actor"}, args...), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: setsid},
	})
	return err
}

// pidns is run as the first process of a PID and a mount namespace; it gives the
// namespace its /proc and becomes COMMAND.
func pidns(args []string) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("PID %d is not the first of its namespace", os.Getpid())
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	return syscall.Exec(args[0], args, os.Environ())
}

// sees looks for patterns wherever this process may read: environments, command lines
// and memory maps in /proc, descriptors, and the files under the usual writable places.
func sees(patterns []string) error {
	found := func(where string, content []byte) {
		for _, p := range patterns {
			// The pattern is in this process's own arguments.
			if strings.Contains(string(content), p) && !strings.Contains(where, fmt.Sprintf("/proc/%d/", os.Getpid())) {
				fmt.Println("found in", where)
			}
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	looked := 0
	for _, dir := range procs {
		for _, name := range []string{"environ", "cmdline", "auxv"} {
			if content, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				looked++
				found(filepath.Join(dir, name), content)
			}
		}
		if mem, err := os.Open(filepath.Join(dir, "mem")); err == nil && dir != fmt.Sprintf("/proc/%d", os.Getpid()) {
			memory(dir, mem, found)
			mem.Close()
		}
		fds, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
		for _, fd := range fds {
			if info, err := os.Stat(fd); err == nil && info.Mode().IsRegular() {
				content, _ := os.ReadFile(fd)
				found(fd, content)
			}
		}
	}
	for _, root := range []string{"/run", "/var/lib/sandbox", "/tmp", "/etc", "/opt", "/home"} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if content, err := os.ReadFile(path); err == nil {
					looked++
					found(path, content)
				}
			}
			return nil
		})
	}
	fmt.Println("looked at", looked)
	return nil
}

// memory reads what is mapped and readable.
func memory(dir string, mem *os.File, found func(string, []byte)) {
	maps, err := os.ReadFile(filepath.Join(dir, "maps"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || mode[0] != 'r' || to-from > 64<<20 {
			continue
		}
		content := make([]byte, to-from)
		n, _ := mem.ReadAt(content, from)
		found(dir+"/mem", content[:n])
	}
}
