// Command secretsearch looks for secrets wherever the user who runs it can look: in the memory,
// environment, arguments and open files of every process, and in every file. It is what
// the tests run as the agent inside a sandbox, again and again, to show that the storage
// credentials cannot be read there.
//
//	secretsearch -for 5s NAME=MASKED...
//
// A secret is given as hex of its bytes XOR mask, so that neither the program nor its
// arguments contain it, and searching finds no copies of itself.
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const mask = 0x5a

// report is what is printed, as JSON.
type report struct {
	Found  map[string][]string // secret: where
	Opened map[string]int      // kind of place: how many could be read
	Denied map[string]int      // how many could not
	Traced []string            // processes that could be traced
	Rounds int
}

type searcher struct {
	secrets map[string][]byte // masked
	report  report
	seen    map[string]bool
	buf     []byte
}

func main() {
	duration := flag.Duration("for", 0, "search again and again for this long; files only once")
	flag.Parse()
	s := &searcher{secrets: map[string][]byte{}, seen: map[string]bool{}, buf: make([]byte, 1<<20),
		report: report{Found: map[string][]string{}, Opened: map[string]int{}, Denied: map[string]int{}}}
	for _, arg := range flag.Args() {
		name, masked, _ := strings.Cut(arg, "=")
		secret, err := hex.DecodeString(masked)
		if err != nil || len(secret) == 0 {
			fmt.Fprintln(os.Stderr, "secretsearch: want NAME=HEX, got", arg)
			os.Exit(2)
		}
		s.secrets[name] = secret
	}
	end := time.Now().Add(*duration)
	for s.report.Rounds == 0 || time.Now().Before(end) {
		s.processes()
		if s.report.Rounds == 0 {
			s.files()
			s.processes()
		}
		s.report.Rounds++
	}
	_ = json.NewEncoder(os.Stdout).Encode(s.report)
}

// processes looks into every process but this one, threads included.
func (s *searcher) processes() {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", e.Name())
		tasks, _ := filepath.Glob(dir + "/task/*")
		for _, d := range append(tasks, dir) {
			for _, name := range []string{"environ", "cmdline", "auxv", "stack", "syscall", "pagemap", "io", "limits"} {
				s.file(name, filepath.Join(d, name), 64<<10)
			}
		}
		fds, err := os.ReadDir(dir + "/fd")
		s.count("fd", err)
		for _, fd := range fds {
			if link, _ := os.Readlink(filepath.Join(dir, "fd", fd.Name())); strings.HasPrefix(link, "/") && !strings.HasPrefix(link, "/dev/") {
				s.file("open file", filepath.Join(dir, "fd", fd.Name()), 1<<20)
			}
		}
		s.memory(dir)
		s.trace(pid)
	}
}

func (s *searcher) count(kind string, err error) {
	if err != nil {
		s.report.Denied[kind]++
	} else {
		s.report.Opened[kind]++
	}
}

func (s *searcher) file(kind, path string, most int64) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW*b2i(kind == "file"), 0)
	if err != nil {
		s.count(kind, err)
		return
	}
	defer f.Close()
	n, err := io.ReadFull(f, s.buf[:min(most, int64(len(s.buf)))])
	if n == 0 && !errors.Is(err, io.EOF) {
		s.count(kind, err)
		return
	}
	s.count(kind, nil)
	s.look(path, s.buf[:n])
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// look searches what was read, and leaves it masked.
func (s *searcher) look(where string, data []byte) {
	for i := range data {
		data[i] ^= mask
	}
	for name, secret := range s.secrets {
		if bytes.Contains(data, secret) && !s.seen[name+where] {
			s.seen[name+where] = true
			s.report.Found[name] = append(s.report.Found[name], where)
		}
	}
}

// memory reads what is mapped and readable.
func (s *searcher) memory(dir string) {
	maps, err := os.Open(dir + "/maps")
	if err != nil {
		s.count("maps", err)
		return
	}
	defer maps.Close()
	mem, err := os.Open(dir + "/mem")
	s.count("mem", err)
	if err != nil {
		return
	}
	defer mem.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var perm string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &perm); err != nil || perm[0] != 'r' || to-from > 256<<20 {
			continue
		}
		for at := from; at < to; at += int64(len(s.buf)) - 4096 { // overlapping, for what lies across
			n, err := mem.ReadAt(s.buf[:min(int64(len(s.buf)), to-at)], at)
			s.look(dir+"/mem", s.buf[:n])
			if err != nil {
				break
			}
		}
	}
}

// trace tries to attach, which would give everything (ptrace(2)).
func (s *searcher) trace(pid int) {
	if err := syscall.PtraceAttach(pid); err != nil {
		s.count("trace", err)
		return
	}
	_, _ = syscall.Wait4(pid, nil, syscall.WALL, nil)
	_ = syscall.PtraceDetach(pid)
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	s.report.Traced = append(s.report.Traced, strings.TrimSpace(string(name)))
}

// files reads every file of the file system once.
func (s *searcher) files() {
	_ = filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			s.report.Denied["directory"]++
			return nil //nolint:nilerr // what is denied is counted
		}
		if d.IsDir() && (path == "/proc" || path == "/sys" || path == "/usr" || path == "/dev") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			s.file("file", path, int64(len(s.buf)))
		}
		return nil
	})
}
