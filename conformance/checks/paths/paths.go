// Package paths has the checks of the paths that every image has: PATH-001 to PATH-005.
package paths

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "PATH-001", Static: true, Run: wrappersExist},
	{ID: "PATH-002", Static: true, Run: configIsRoots},
	{ID: "PATH-003", Static: true, Run: homeIsEmpty},
	{ID: "PATH-004", Static: true, Run: coldPathIsRoots},
	{ID: "PATH-005", Static: true, Run: hooksAreRoots},
}

// wrappers are the scripts that orchestrators know.
var wrappers = []string{"entrypoint.sh", "healthcheck.sh", "hot-sync.sh", "cold-mount.sh", "shutdown.sh"}

func wrappersExist(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	for _, wrapper := range wrappers {
		name := path.Join(contract.ScriptsDir, wrapper)
		f := im.Resolve(name)
		switch {
		case f == nil:
			return check.Fail(name+" does not exist", "extend an image of the family, and leave "+contract.ScriptsDir+" as it is")
		case f.Mode&0o005 != 0o005:
			return check.Failf("%s has mode %04o: the agent cannot execute it", name, f.Mode)
		case f.AgentMayWrite():
			return check.Failf("%s can be written by the agent (mode %04o, owner %d)", name, f.Mode, f.UID)
		}
		if calls := commandsOf(string(f.Content)); len(calls) != 1 || !strings.Contains(calls[0], "sandbox-init") {
			return check.Fail(fmt.Sprintf("%s is more than one call of sandbox-init: %q", name, calls), "a wrapper script has no logic of its own; change sandbox-init or add a hook instead")
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

func configIsRoots(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	f := im.Resolve(contract.ConfigFile)
	switch {
	case f == nil:
		return check.Failf("%s does not exist", contract.ConfigFile)
	case f.Mode&0o004 == 0:
		return check.Failf("%s has mode %04o: the agent cannot read it", contract.ConfigFile, f.Mode)
	case f.AgentMayWrite() || f.UID != 0:
		return check.Fail(fmt.Sprintf("%s can be written by others than root (mode %04o, owner %d)", contract.ConfigFile, f.Mode, f.UID), "chown root:root and chmod 0644")
	}
	return nil
}

func homeIsEmpty(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	home := im.Resolve(contract.DefaultHotPath)
	switch {
	case home == nil || !home.IsDir():
		return check.Failf("%s is no directory of the image", contract.DefaultHotPath)
	case home.UID != contract.AgentUID || home.GID != contract.AgentGID:
		return check.Failf("%s belongs to %d:%d, not to %d:%d", contract.DefaultHotPath, home.UID, home.GID, contract.AgentUID, contract.AgentGID)
	}
	if found := im.Below(contract.DefaultHotPath); len(found) > 0 {
		return check.Fail(fmt.Sprintf("the image has %d files in the home: %s", len(found), check.Sample(found)),
			"install into system paths or /opt, and set HOME=/root or a cache directory in RUN steps that write to the home")
	}
	return nil
}

func coldPathIsRoots(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	f := im.Resolve(contract.DefaultColdPath)
	switch {
	case f == nil || !f.IsDir():
		return check.Failf("%s is no directory of the image", contract.DefaultColdPath)
	case f.UID != 0 || f.Mode&0o7777 != 0o555:
		return check.Failf("%s has owner %d and mode %04o; it must be root's and 0555", contract.DefaultColdPath, f.UID, f.Mode&0o7777)
	}
	if found := im.Below(contract.DefaultColdPath); len(found) > 0 {
		return check.Failf("the image has files below %s, which the mount hides: %s", contract.DefaultColdPath, check.Sample(found))
	}
	return nil
}

func hooksAreRoots(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	for _, dir := range []string{contract.PreStartDir, contract.PreStopDir} {
		f := im.Resolve(dir)
		if f == nil || !f.IsDir() {
			return check.Failf("%s is no directory of the image", dir)
		}
		for _, name := range append([]string{dir}, im.Below(dir)...) {
			if im.Files[name].AgentMayWrite() {
				return check.Failf("%s can be written by the agent", name)
			}
		}
	}
	return nil
}
