package main

import (
	"fmt"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
	"github.com/matrx/sandbox/internal/host/sandbox/disk"
	"github.com/matrx/sandbox/internal/host/sandbox/inventory"
)

// diskUse is what is told of a sandbox's disk.
type diskUse struct {
	Limit  int64  `json:"limit_bytes,omitempty"` // of home and state together; none: they are on the machine's
	Reason string `json:"reason,omitempty"`      // why there is none although the image asks for it

	*disk.Usage // while it is in use
}

func useOfDisk(s inventory.Entry) diskUse {
	u := diskUse{Limit: s.Record.Limits.Disk, Reason: s.Record.DiskUnlimited}
	if u.Limit != 0 {
		if now, ok := s.SandboxDir.Disk().Usage(); ok {
			u.Usage = &now
		}
	}
	return u
}

// homeKind is what home and state are.
type homeKind string

const (
	homeDirs    homeKind = "directories" // of the data directory
	homeDisk    homeKind = "disk"        // the sandbox's own
	homeVolumes homeKind = "volumes"     // of the engine
)

func kindOfHome(r datadir.Record) homeKind {
	switch {
	case r.Limits.Disk != 0:
		return homeDisk
	case r.Dirs:
		return homeDirs
	}
	return homeVolumes
}

func (k homeKind) String() string {
	switch k {
	case homeDisk:
		return "on a disk of its own"
	case homeDirs:
		return "a directory of the data directory"
	}
	return "a volume of the engine, since the operator, or the engine's root, is not root: while a large one is removed, other sandboxes wait"
}

func (u diskUse) String() string {
	switch {
	case u.Limit == 0 && u.Reason != "":
		return "unlimited (" + u.Reason + ")"
	case u.Limit == 0:
		return "unlimited"
	case u.Usage == nil:
		return fmt.Sprintf("%d MB", u.Limit>>20)
	}
	return fmt.Sprintf("%d MB (%d MB used, %d MB free for the workload)", u.Limit>>20, u.Used>>20, u.Free>>20)
}
