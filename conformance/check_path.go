package conformance

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/matrx/sandbox/conformance/image"
	"github.com/matrx/sandbox/contract"
)

var pathChecks = []Check{
	{ID: "PATH-001", Static: true, Run: doorsExist},
	{ID: "PATH-002", Static: true, Run: configIsRoots},
	{ID: "PATH-003", Static: true, Run: homeIsEmpty},
	{ID: "PATH-004", Static: true, Run: coldPathIsRoots},
	{ID: "PATH-005", Static: true, Run: hooksAreRoots},
}

// doors are the names that orchestrators know.
var doors = []string{"entrypoint.sh", "healthcheck.sh", "hot-sync.sh", "cold-mount.sh", "shutdown.sh"}

func doorsExist(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	for _, door := range doors {
		name := path.Join(contract.ScriptsDir, door)
		f := im.Resolve(name)
		switch {
		case f == nil:
			return Fail(name+" does not exist", "extend an image of the family, and leave "+contract.ScriptsDir+" as it is")
		case f.Mode&0o005 != 0o005:
			return Failf("%s has mode %04o: the agent cannot execute it", name, f.Mode)
		case writable(f):
			return Failf("%s can be written by the agent (mode %04o, owner %d)", name, f.Mode, f.UID)
		}
		if calls := commandsOf(string(f.Content)); len(calls) != 1 || !strings.Contains(calls[0], "sandbox-init") {
			return Fail(fmt.Sprintf("%s is more than one call of sandbox-init: %q", name, calls), "a door has no logic of its own; change sandbox-init or add a hook instead")
		}
	}
	return nil
}

// commandsOf are the lines of a script that are no comments.
func commandsOf(script string) []string {
	var out []string
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

func configIsRoots(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	f := im.Resolve(contract.ConfigFile)
	switch {
	case f == nil:
		return Failf("%s does not exist", contract.ConfigFile)
	case f.Mode&0o004 == 0:
		return Failf("%s has mode %04o: the agent cannot read it", contract.ConfigFile, f.Mode)
	case writable(f) || f.UID != 0:
		return Fail(fmt.Sprintf("%s can be written by others than root (mode %04o, owner %d)", contract.ConfigFile, f.Mode, f.UID), "chown root:root and chmod 0644")
	}
	return nil
}

func homeIsEmpty(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	home := im.Resolve(contract.DefaultHotPath)
	switch {
	case home == nil || !home.IsDir():
		return Failf("%s is no directory of the image", contract.DefaultHotPath)
	case home.UID != contract.AgentUID || home.GID != contract.AgentGID:
		return Failf("%s belongs to %d:%d, not to %d:%d", contract.DefaultHotPath, home.UID, home.GID, contract.AgentUID, contract.AgentGID)
	}
	if found := below(im, contract.DefaultHotPath); len(found) > 0 {
		return Fail(fmt.Sprintf("the image has %d files in the home: %s", len(found), firstOf(found)),
			"install into system paths or /opt, and set HOME=/root or a cache directory in RUN steps that write to the home")
	}
	return nil
}

func coldPathIsRoots(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	f := im.Resolve(contract.DefaultColdPath)
	switch {
	case f == nil || !f.IsDir():
		return Failf("%s is no directory of the image", contract.DefaultColdPath)
	case f.UID != 0 || f.Mode&0o7777 != 0o555:
		return Failf("%s has owner %d and mode %04o; it must be root's and 0555", contract.DefaultColdPath, f.UID, f.Mode&0o7777)
	}
	if found := below(im, contract.DefaultColdPath); len(found) > 0 {
		return Failf("the image has files below %s, which the mount hides: %s", contract.DefaultColdPath, firstOf(found))
	}
	return nil
}

func hooksAreRoots(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	for _, dir := range []string{contract.PreStartDir, contract.PreStopDir} {
		f := im.Resolve(dir)
		if f == nil || !f.IsDir() {
			return Failf("%s is no directory of the image", dir)
		}
		for _, name := range append([]string{dir}, below(im, dir)...) {
			if writable(im.Files[name]) {
				return Failf("%s can be written by the agent", name)
			}
		}
	}
	return nil
}

// writable says whether the agent may write a file that is not in its own places.
func writable(f *image.File) bool {
	return f.Mode&0o002 != 0 || f.UID == contract.AgentUID && f.Mode&0o200 != 0 || f.GID == contract.AgentGID && f.Mode&0o020 != 0
}

// below lists what is in a directory of the image, at any depth.
func below(im *image.Image, dir string) []string {
	var out []string
	for p := range im.Files {
		if strings.HasPrefix(p, dir+"/") {
			out = append(out, p)
		}
	}
	return sorted(out)
}
