package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// Confinement is what a container's processes are held to besides their capabilities and
// limits. The zero one is the engine's own.
type Confinement struct {
	ReadOnly bool      // the root file system; what is mounted is written to as before
	Scratch  []Scratch // directories in memory
	Seccomp  string    // a profile of system calls, in JSON; empty: the engine's
	AppArmor string    // the name of a profile that the kernel has; empty: see Spec.host
}

// Scratch is a directory in memory, empty at each start. What is in it counts as memory.
type Scratch struct {
	Path string
	Size int64  // bytes; 0: as much as the memory
	Mode uint32 // permissions, with the sticky bit
	UID  int    // and GID
}

func (c Confinement) apply(h *container.HostConfig) {
	h.ReadonlyRootfs = c.ReadOnly
	for _, s := range c.Scratch {
		setTmpfs(h, s.Path, s.options())
	}
	if c.Seccomp != "" {
		h.SecurityOpt = append(h.SecurityOpt, "seccomp="+c.Seccomp)
	}
	if c.AppArmor != "" {
		h.SecurityOpt = append(h.SecurityOpt, "apparmor="+c.AppArmor)
	}
}

// options let programs run from it: they are built there, and npx keeps its own there.
func (s Scratch) options() string {
	o := fmt.Sprintf("rw,exec,nosuid,nodev,mode=%04o", s.Mode)
	if s.UID != 0 {
		o += fmt.Sprintf(",uid=%d,gid=%[1]d", s.UID)
	}
	if s.Size != 0 {
		o += fmt.Sprintf(",size=%d", s.Size)
	}
	return o
}

// confines says what an engine says that it can hold containers to.
func confines(options []string, by string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return strings.Contains(o, "name="+by) })
}

// HasSeccomp says whether the engine takes profiles of system calls.
func (e *Engine) HasSeccomp() bool { return e.facts.Seccomp }

// HasAppArmor says whether the engine's kernel has AppArmor.
func (e *Engine) HasAppArmor() bool { return e.facts.AppArmor }
