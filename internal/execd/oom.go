package execd

import (
	"bytes"
	"os"
	"strconv"
	"sync"
)

// oomCount knows whether the kernel has ended processes of this container for want of memory. It says no more
// than how many, so that a SIGKILL without another explanation is taken for one when the number has risen.
type oomCount struct {
	mu    sync.Mutex
	last  int64
	files []string
}

// oomFiles have the count: of version 2 that of the container's cgroup, which counts those below it; of version 1 each
// cgroup has its own, and the workload may have one (hostd's division of memory). See memory.events and
// memory.oom_control in the kernel's cgroup documentation.
func oomFiles() []string {
	return []string{
		"/sys/fs/cgroup/memory.events",
		"/sys/fs/cgroup/memory/memory.oom_control",
		"/sys/fs/cgroup/memory/workload/memory.oom_control",
	}
}

func newOOMCount(files []string) *oomCount {
	c := &oomCount{files: files}
	c.last = c.read()
	return c
}

// rose says whether the number has risen since it was asked last.
func (c *oomCount) rose() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.last
	c.last = c.read()
	return c.last > before
}

func (c *oomCount) read() (sum int64) {
	for _, name := range c.files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(b) {
			if value, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
				n, _ := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
				sum += n
			}
		}
	}
	return sum
}
