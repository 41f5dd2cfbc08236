// Package hardening has the checks of rights, secrets and pending updates: SEC.
package hardening

import (
	"archive/tar"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/conformance/probe"
	"github.com/matrx/sandbox/contract"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "SEC-001", Static: true, Run: noSetIDBits},
	{ID: "SEC-002", Static: true, Run: noSecrets},
	{ID: "SEC-003", Static: true, Run: nothingIsWritable},
	{ID: "SEC-004", Run: commandHasNoRights},
	{ID: "SEC-005", Run: credentialsAreOutOfReach},
	{ID: "SEC-006", Run: noPendingUpdates},
}

func noSetIDBits(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	var found []string
	for _, f := range im.Files {
		if f.Type == tar.TypeReg && (f.Mode&0o6000 != 0 || f.Caps) {
			found = append(found, fmt.Sprintf("%s (%04o)", f.Path, f.Mode&0o7777))
		}
	}
	if len(found) > 0 {
		return check.Fail("files with SUID or SGID bits or file capabilities: "+check.Sample(found),
			"run /opt/sandbox/build/seal, or `find / -xdev -perm /6000 -type f -exec chmod a-s {} +`, after the last package was installed")
	}
	return nil
}

func noSecrets(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	var found []string
	for _, l := range im.Leaks {
		where := "the configuration"
		if l.Layer >= 0 {
			where = fmt.Sprintf("layer %d", l.Layer+1)
		}
		found = append(found, fmt.Sprintf("%s in %s: %s", l.Kind, where, l.Path))
	}
	if len(found) > 0 {
		return check.Fail(check.Sample(found), "remove it where it was added: a later layer only hides it. Give secrets to a build with RUN --mount=type=secret")
	}
	return nil
}

// writablePlaces are where the agent may write in an image. The state and the run directory
// are among them for sandboxes started as the agent; started as root they become root's.
var writablePlaces = []string{
	contract.DefaultHotPath, contract.DefaultStateDir, contract.DefaultRunDir, "/tmp", "/var/tmp", "/dev", "/proc", "/sys", "/run/lock", "/var/lock",
}

func nothingIsWritable(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	var found []string
next:
	for _, f := range im.Files {
		if f.Type == tar.TypeSymlink || !f.AgentMayWrite() {
			continue
		}
		for _, place := range writablePlaces {
			if f.Path == place || strings.HasPrefix(f.Path, place+"/") {
				continue next
			}
		}
		found = append(found, fmt.Sprintf("%s (%04o, %d:%d)", f.Path, f.Mode&0o7777, f.UID, f.GID))
	}
	if len(found) > 0 {
		return check.Fail("the agent can write to "+check.Sample(found), "chown it to root and take the write bits of group and others")
	}
	return nil
}

func commandHasNoRights(ctx context.Context, e *check.Env) error {
	self, err := e.Self(ctx, check.Start{})
	if err != nil {
		return err
	}
	if !self.NoNewPrivs {
		return check.Failf("the command does not have no_new_privs set")
	}
	for set, mask := range self.Caps {
		if mask != 0 {
			return check.Failf("the command has capabilities: %s is %016x", set, mask)
		}
	}
	if len(self.Caps) != 5 {
		return fmt.Errorf("the probe saw %d capability sets, not 5", len(self.Caps))
	}
	return nil
}

func credentialsAreOutOfReach(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	// The command searches from its first instant on; a session that is exec'd later too.
	s, err := e.Start(ctx, check.Start{Workspace: w, Cmd: []string{check.Probe, "search", probe.Mask(e.Secret())}})
	if err != nil {
		return err
	}
	code, err := s.Wait(ctx)
	if err != nil {
		return err
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		return err
	}
	if code != 0 {
		return check.Failf("the command found the storage credentials (exit code %d):\n%s", code, logs)
	}
	if s, err = e.Ready(ctx, check.Start{Workspace: w}); err != nil {
		return err
	}
	if out, err := s.Run(ctx, "search", probe.Mask(e.Secret())); err != nil {
		return check.Failf("a session of the agent found the storage credentials: %v %s", err, out)
	}
	// The same search as root finds them: it can fail.
	if out, err := s.RunAs(ctx, "0", "search", probe.Mask(e.Secret())); err == nil {
		return fmt.Errorf("the search finds nothing even as root, so it proves nothing: %s", out)
	}
	return nil
}

func noPendingUpdates(ctx context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	// Most images carry no package lists, and the suite fetches none: it needs no network.
	if !slices.ContainsFunc(im.Below("/var/lib/apt/lists"), func(name string) bool { return strings.Contains(name, "_Packages") }) {
		return check.Unsupported("the image carries no package lists, so the updates that were pending when it was built are unknown")
	}
	s, err := e.Bare(ctx)
	if err != nil {
		return err
	}
	code, out, err := s.Exec(ctx, "0", "apt-get", "-s", "-o", "Debug::NoLocking=1", "upgrade")
	if err != nil {
		return err
	}
	if code != 0 {
		return check.Unsupported("apt-get cannot list pending updates: %s", firstLine(out))
	}
	var pending []string
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(line, "Inst "); ok {
			name, _, _ = strings.Cut(name, " ")
			pending = append(pending, name)
		}
	}
	e.Saw("as of the package lists in the image")
	if len(pending) > 0 {
		return check.Fail("packages with a pending update: "+check.Sample(pending), "build the image again")
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
