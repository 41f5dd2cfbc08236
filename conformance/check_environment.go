package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/matrx/sandbox/contract"
)

var environmentChecks = []Check{
	{ID: "ENV-001", Run: commandSeesVariables},
	{ID: "ENV-002", Run: mistakesAreReported},
}

// Self is what the probe says of the process that it is.
type Self struct {
	UID, EUID  int
	GID, EGID  int
	Groups     []int
	Umask      int
	Env        map[string]string
	NoNewPrivs bool
	Caps       map[string]uint64 // CapInh, CapPrm, CapEff, CapBnd, CapAmb of /proc/self/status
	Exe        string
	PPid       int
}

// selfOf starts a sandbox whose command says what it is.
func (e *Env) selfOf(ctx context.Context, s Start) (Self, error) {
	s.Cmd = []string{Probe, "self"}
	box, err := e.Start(ctx, s)
	if err != nil {
		return Self{}, err
	}
	if err := box.ExpectExit(ctx, 0); err != nil {
		return Self{}, err
	}
	logs, err := box.Logs(ctx)
	if err != nil {
		return Self{}, err
	}
	for line := range strings.Lines(logs) {
		if rest, ok := strings.CutPrefix(line, "probe-self "); ok {
			var self Self
			return self, json.Unmarshal([]byte(rest), &self)
		}
	}
	return Self{}, Failf("the command printed nothing; the sandbox printed:\n%s", logs)
}

func commandSeesVariables(ctx context.Context, e *Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	self, err := e.selfOf(ctx, Start{Workspace: w, SandboxID: "env-001"})
	if err != nil {
		return err
	}
	want := map[string]string{
		contract.EnvSandboxID: "env-001", contract.EnvUserID: w.UserID, contract.EnvS3Bucket: "conformance",
		contract.EnvHotPath: contract.DefaultHotPath, contract.EnvColdPath: contract.DefaultColdPath,
		"HOME": contract.DefaultHotPath, "USER": contract.AgentUser, "LOGNAME": contract.AgentUser,
	}
	for name, value := range want {
		if got, ok := self.Env[name]; !ok || got != value {
			return Failf("the command sees %s=%q, want %q", name, got, value)
		}
	}
	return nil
}

func mistakesAreReported(ctx context.Context, e *Env) error {
	s, err := e.Start(ctx, Start{Cmd: []string{Probe, "say", "started"}, Env: map[string]string{
		contract.EnvShutdownTimeout: "soon", contract.EnvHotPath: "relative/home", contract.EnvUserID: "../else", contract.EnvS3Bucket: "some-bucket",
	}})
	if err != nil {
		return err
	}
	if err := s.ExpectExit(ctx, contract.ExitConfig,
		contract.EnvShutdownTimeout, "soon", contract.EnvHotPath, "relative/home", contract.EnvUserID, "../else"); err != nil {
		return err
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		return err
	}
	if strings.Contains(logs, "probe-said started") {
		return Fail("the command was started with a wrong configuration", "let sandbox-init be PID 1")
	}
	return nil
}

var userChecks = []Check{
	{ID: "USER-001", Run: commandIsTheAgent},
	{ID: "USER-002", Static: true, Run: sandboxIsASecondName},
}

func commandIsTheAgent(ctx context.Context, e *Env) error {
	for mode, name := range map[Mode]string{AsRoot: "root", AsAgent: "agent"} {
		self, err := e.selfOf(ctx, Start{Mode: mode})
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
			return Fail(fmt.Sprintf("started as %s, the command runs with %s", name, is), "let sandbox-init drop the rights; set no wrapper around the command")
		}
	}
	return nil
}

func sandboxIsASecondName(_ context.Context, e *Env) error {
	im, err := e.Image()
	if err != nil {
		return err
	}
	f := im.Resolve("/etc/passwd")
	if f == nil {
		return Failf("/etc/passwd does not exist")
	}
	uids := map[string]string{}
	for line := range strings.Lines(string(f.Content)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) == 7 {
			uids[fields[0]] = fields[2]
		}
	}
	for _, name := range []string{contract.AgentUser, "sandbox"} {
		if uids[name] != "1000" {
			return Failf("/etc/passwd gives %s the UID %q, not 1000", name, uids[name])
		}
	}
	return nil
}
