package probe

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxSearched bounds what is read of one file in bytes.
const maxSearched = 4 << 20

// search looks for a secret wherever this process can read: the environment and the
// command line of every process, what their descriptors lead to, and every file of
// moderate size. It ends with 1 and names the place where it is found.
func search(args []string) (int, error) {
	masked, err := first(args, "MASKED")
	if err != nil {
		return 2, err
	}
	secret, err := unmask(masked)
	if err != nil {
		return 2, err
	}
	looked := 0
	var found []string
	look := func(path string) {
		f, err := os.Open(path)
		if err != nil {
			return // out of reach
		}
		defer f.Close()
		data, _ := io.ReadAll(io.LimitReader(f, maxSearched)) // what could be read
		looked++
		if bytes.Contains(data, secret) {
			found = append(found, path)
		}
	}
	for _, v := range os.Environ() {
		if strings.Contains(v, string(secret)) {
			found = append(found, "this process's environment")
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 1, err
	}
	for _, p := range processes {
		look(p + "/environ")
		look(p + "/cmdline")
		descriptors, _ := filepath.Glob(p + "/fd/*")
		for _, d := range descriptors {
			// Only what is a file: a pipe or a socket would be read away from its owner.
			if info, err := os.Stat(d); err == nil && info.Mode().IsRegular() {
				look(d)
			}
		}
		if m, err := os.Open(p + "/mem"); err == nil {
			m.Close()
			if p != fmt.Sprintf("/proc/%d", os.Getpid()) && !sameUser(p) {
				found = append(found, p+"/mem can be opened")
			}
		}
	}
	err = filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (path == "/proc" || path == "/sys" || path == "/usr") {
			return fs.SkipDir // pseudo files were looked at; the others are the image's own, see SEC-002
		}
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		// What vanished or cannot be listed is out of reach.
		if err == nil && info.Mode().IsRegular() && info.Size() <= maxSearched {
			look(path)
		}
		return nil
	})
	if err != nil {
		return 1, err
	}
	if len(found) > 0 {
		return 1, fmt.Errorf("found in %s", strings.Join(found, ", "))
	}
	fmt.Printf("looked in %d places\n", looked)
	return 0, nil
}

// sameUser says whether a process is one of this user's own.
func sameUser(proc string) bool {
	mine, errA := os.Stat("/proc/self")
	theirs, errB := os.Stat(proc)
	return errA == nil && errB == nil && os.SameFile(mine, theirs) || errB == nil && ownerOf(theirs) == os.Getuid()
}

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
