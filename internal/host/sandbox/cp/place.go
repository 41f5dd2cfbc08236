package cp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// Place is one side of a copy.
type Place struct {
	ID   string // of a sandbox; empty: this machine
	Path string // in a sandbox, below the agent's home unless it is absolute; "-": an archive, on this machine
}

// ParsePlace reads ID:PATH, PATH or "-". A path of this machine with a colon begins
// with a slash or a dot.
func ParsePlace(text string) Place {
	id, path, ok := strings.Cut(text, ":")
	if !ok || strings.ContainsAny(text[:1], "/.") || datadir.CheckID("", id) != nil {
		return Place{Path: text}
	}
	if path == "" {
		path = "."
	}
	return Place{ID: id, Path: path}
}

func (p Place) archive() bool { return p.ID == "" && p.Path == "-" }

func (p Place) String() string {
	if p.ID == "" {
		return p.Path
	}
	return p.ID + ":" + p.Path
}

// Check says whether one can be copied to the other.
func Check(src, dst Place) error {
	switch {
	case src.ID == "" && dst.ID == "":
		return fmt.Errorf("cannot copy %s to %s: neither is in a sandbox; one must be ID:PATH", src, dst)
	case src.ID != "" && dst.ID != "":
		return fmt.Errorf("cannot copy from one sandbox to another at once; `sandbox cp %s - | sandbox cp - %s` does, into a directory", src, dst)
	case src.Path == "" || dst.Path == "":
		return errors.New("cannot copy a path that is empty")
	}
	return nil
}
