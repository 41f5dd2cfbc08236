package engine

import (
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
)

// Limits bound what a container uses. Zero is no limit.
type Limits struct {
	Memory    int64 // bytes, and no swap beyond them
	CPUs      float64
	PIDs      int64
	OpenFiles int64
	Tmp       int64 // bytes; /tmp is in memory then
	Shm       int64 // bytes of /dev/shm
}

// tmpOptions are those of a /tmp that is in memory: programs build and run there.
const tmpOptions = "rw,exec,nosuid,nodev,mode=1777"

func (l Limits) apply(h *container.HostConfig) {
	h.Memory = l.Memory
	h.MemorySwap = l.Memory // memory and swap together: so none
	h.NanoCPUs = int64(l.CPUs * 1e9)
	if l.PIDs != 0 {
		h.PidsLimit = &l.PIDs
	}
	if l.OpenFiles != 0 {
		// The hard one too, or a process raises its own.
		h.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: l.OpenFiles, Hard: l.OpenFiles}}
	}
	h.ShmSize = l.Shm
	if l.Tmp != 0 {
		setTmpfs(h, "/tmp", fmt.Sprintf("%s,size=%d", tmpOptions, l.Tmp))
	}
}

func setTmpfs(h *container.HostConfig, at, options string) {
	if h.Tmpfs == nil {
		h.Tmpfs = make(map[string]string)
	}
	h.Tmpfs[at] = options
}

// Machine is what an engine has, and which limits its kernel cannot hold.
type Machine struct {
	Memory int64 // bytes
	CPUs   int
	Cannot []string // in words: "memory", ...

	// OtherIDs says that a container's users have other IDs on the machine: userns-remap, or
	// an engine without root.
	OtherIDs bool
}

// Machine gives that of the engine.
func (e *Engine) Machine() Machine { return e.facts.Machine }

func machine(i system.Info) Machine {
	m := Machine{Memory: i.MemTotal, CPUs: i.NCPU}
	for _, limit := range []struct {
		on   string
		held bool
	}{{"memory", i.MemoryLimit}, {"swap", i.SwapLimit}, {"processors", i.CPUCfsQuota}, {"processes", i.PidsLimit}} {
		if !limit.held {
			m.Cannot = append(m.Cannot, limit.on)
		}
	}
	for _, o := range i.SecurityOptions {
		m.OtherIDs = m.OtherIDs || strings.Contains(o, "name=userns") || strings.Contains(o, "name=rootless")
	}
	return m
}
