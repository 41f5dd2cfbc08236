// Package environment has the checks of the variables that a command sees, and of mistakes in them: ENV.
package environment

import (
	"context"
	"strings"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/contract"
)

// Checks are the checks of this family, by requirement.
var Checks = []check.Check{
	{ID: "ENV-001", Run: commandSeesVariables},
	{ID: "ENV-002", Run: mistakesAreReported},
}

func commandSeesVariables(ctx context.Context, e *check.Env) error {
	w, err := e.Workspace()
	if err != nil {
		return err
	}
	self, err := e.Self(ctx, check.Start{Workspace: w, SandboxID: "env-001"})
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
			return check.Failf("the command sees %s=%q, want %q", name, got, value)
		}
	}
	return nil
}

func mistakesAreReported(ctx context.Context, e *check.Env) error {
	s, err := e.Start(ctx, check.Start{Cmd: []string{check.Probe, "say", "started"}, Env: map[string]string{
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
		return check.Fail("the command was started with a wrong configuration", "let sandbox-init be PID 1")
	}
	return nil
}
