// Package user has the checks of the user that the workload runs as: USER.
package user

import (
	"context"
	"fmt"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "USER-001", Run: commandIsTheAgent},
	{ID: "USER-002", Static: true, Run: sandboxIsASecondName},
}

func commandIsTheAgent(ctx context.Context, e *check.Env) error {
	for mode, name := range map[check.Mode]string{check.AsRoot: "root", check.AsAgent: "agent"} {
		self, err := e.Self(ctx, check.Start{Mode: mode})
		if err != nil {
			return err
		}
		is := fmt.Sprintf("UID %d/%d, GID %d/%d, groups %v, umask %03o", self.UID, self.EUID, self.GID, self.EGID, self.Groups, self.Umask)
		e.Saw("started as %s: %s", name, is)
		others := self.Groups
		if len(others) == 1 && others[0] == contract.AgentGID {
			others = nil // getgroups(2) may name the effective group
		}
		if self.UID != contract.AgentUID || self.EUID != contract.AgentUID || self.GID != contract.AgentGID || self.EGID != contract.AgentGID || len(others) > 0 || self.Umask != 0o022 {
			return check.Fail(fmt.Sprintf("started as %s, the command runs with %s", name, is), "let sandbox-init drop the rights; set no wrapper around the command")
		}
	}
	return nil
}

func sandboxIsASecondName(_ context.Context, e *check.Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	f := im.Resolve("/etc/passwd")
	if f == nil {
		return check.Failf("/etc/passwd does not exist")
	}
	uids := map[string]string{}
	for line := range strings.Lines(string(f.Content)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) == 7 {
			uids[fields[0]] = fields[2]
		}
	}
	for _, name := range []string{contract.AgentUser, "sandbox"} {
		if uids[name] != "1000" {
			return check.Failf("/etc/passwd gives %s the UID %q, not 1000", name, uids[name])
		}
	}
	return nil
}
