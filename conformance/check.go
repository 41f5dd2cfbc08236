package conformance

import (
	"context"
	"errors"

	"github.com/matrx/sandbox/conformance/check"
	"github.com/matrx/sandbox/conformance/checks"
)

// What an importer's own checks are made of, by the names of this package; package check explains each.
type (
	// Check judges one requirement.
	Check = check.Check
	// Env is what a check has to work with.
	Env = check.Env
	// Start is how to start a sandbox.
	Start = check.Start
	// Mode says with which rights a sandbox is started.
	Mode = check.Mode
	// Sandbox is a sandbox that runs, or has ended.
	Sandbox = check.Sandbox
	// SandboxStatus is the output of `sandbox-init status --json`.
	SandboxStatus = check.SandboxStatus
	// Self is what the probe says of the process that it is.
	Self = check.Self
)

// The modes, and the path of the suite's own static program in every container of Start.
const (
	AsRoot  = check.AsRoot
	AsAgent = check.AsAgent
	Probe   = check.Probe
)

// Fail says that a requirement does not hold: reason in one sentence, remedy as what the
// image's author does about it.
func Fail(reason, remedy string) error { return check.Fail(reason, remedy) }

// Failf is Fail without a remedy of its own; the requirement's text is remedy enough.
func Failf(format string, args ...any) error { return check.Failf(format, args...) }

// Unsupported says that the requirement is about something that this image or this
// engine does not have, and is allowed not to have.
func Unsupported(format string, args ...any) error { return check.Unsupported(format, args...) }

// Eventually asks until ok, and fails with what was missing when ctx ends.
func Eventually(ctx context.Context, what string, ok func() (bool, error)) error {
	return check.Eventually(ctx, what, ok)
}

// StaticIDs are the requirements that are judged without starting a container.
func StaticIDs() []string {
	var out []string
	for _, c := range checks.All {
		if c.Static {
			out = append(out, c.ID)
		}
	}
	return out
}

// judge turns what a check returned into a status.
func judge(err error) (status Status, reason, remedy string) {
	var f *check.Failure
	var u *check.Excuse
	switch {
	case err == nil:
		return Pass, "", ""
	case errors.As(err, &f):
		return Failed, f.Reason, f.Remedy
	case errors.As(err, &u):
		return NotSupported, u.Reason, ""
	default:
		return Error, err.Error(), ""
	}
}
