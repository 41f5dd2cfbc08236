package storage

import (
	"bufio"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/matrx/sandbox/internal/threads"
)

// Threads count against the sandbox's process limit, which can be 50 (see threads).
const (
	// mostProcs is enough to hash and compress at the speed of a network.
	mostProcs = 4

	// diskCalls is how many calls on files block at the same time. More would not make a
	// disk faster, and each is a thread.
	diskCalls = 12

	// otherCalls block outside the gate: the log's writer, those who read /dev/fuse (as many as
	// GOMAXPROCS), and who tells the kernel of changes.
	otherCalls = 1 + mostProcs + 1
)

// limitThreads makes all threads there will ever be.
func limitThreads() {
	runtime.GOMAXPROCS(min(mostProcs, runtime.GOMAXPROCS(0)))
	threads.Disk = threads.NewGate(diskCalls)
	threads.Reserve(diskCalls + otherCalls)
}

// Memory in bytes. The workload's is what a sandbox is for: storage takes a quarter of the
// container's, and never more than mostMemory, which 200,000 files fit into.
const (
	mostMemory  = 120 << 20
	leastMemory = 48 << 20
)

// limitMemory sets GOMEMLIMIT, since the runtime does not look at the cgroup's limit as it
// does for processors. It is a goal for the collector and no bound; one that was given
// in the environment stays.
func limitMemory(root fs.FS, log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(mostMemory)
	if container := cgroupMemory(root); container > 0 {
		limit = min(max(container/4, leastMemory), mostMemory)
	}
	debug.SetMemoryLimit(limit)
	log.Debug("memory is limited", "event", "memory_limit", "bytes", limit)
}

// cgroupMemory is the least limit of this process's cgroup and of those above it, in
// bytes; 0 without one. In a container its own cgroup is the root of what it sees, with
// version 2 (memory.max) and version 1 (memory.limit_in_bytes) alike; elsewhere
// /proc/self/cgroup says where it is (cgroups(7)).
func cgroupMemory(root fs.FS) int64 {
	least := int64(0)
	for _, c := range memoryCgroups(root) {
		for dir := path.Clean("/" + c.path); ; dir = path.Dir(dir) {
			content, err := fs.ReadFile(root, strings.TrimPrefix(path.Join(c.mount, dir, c.file), "/"))
			// "max", and version 1's 2^63 less a page, are no limit.
			n, numErr := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
			if err == nil && numErr == nil && n > 0 && n < 1<<60 && (least == 0 || n < least) {
				least = n
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}

type memoryCgroup struct{ mount, path, file string }

func memoryCgroups(root fs.FS) []memoryCgroup {
	const mount = "sys/fs/cgroup"
	list := []memoryCgroup{{mount, "/", "memory.max"}, {mount + "/memory", "/", "memory.limit_in_bytes"}}
	f, err := root.Open("proc/self/cgroup")
	if err != nil {
		return list
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); { // HIERARCHY:CONTROLLERS:PATH
		parts := strings.SplitN(lines.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" {
			list = append(list, memoryCgroup{mount, parts[2], "memory.max"})
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			if controller == "memory" {
				list = append(list, memoryCgroup{mount + "/memory", parts[2], "memory.limit_in_bytes"})
			}
		}
	}
	return list
}
