// Package checks has all checks of the suite. Each family of requirements is a package below, with one
// function for each requirement and the list Checks.
package checks

import (
	"slices"

	"github.com/matrx/sandbox/conformance/checks/cold"
	"github.com/matrx/sandbox/conformance/checks/commands"
	"github.com/matrx/sandbox/conformance/checks/entry"
	"github.com/matrx/sandbox/conformance/checks/environment"
	"github.com/matrx/sandbox/conformance/checks/execs"
	"github.com/matrx/sandbox/conformance/checks/hardening"
	"github.com/matrx/sandbox/conformance/checks/hot"
	"github.com/matrx/sandbox/conformance/checks/lifecycle"
	"github.com/matrx/sandbox/conformance/checks/manifest"
	"github.com/matrx/sandbox/conformance/checks/paths"
	"github.com/matrx/sandbox/conformance/checks/user"
	"github.com/matrx/sandbox/conformance/checks/variant"
)

// All are the checks of all families, in the contract's order. A test holds them equal to the
// contract's requirements, one to one.
var All = slices.Concat(
	paths.Checks, commands.Checks, entry.Checks, environment.Checks, user.Checks,
	lifecycle.Checks, execs.Checks, hot.Checks, cold.Checks, hardening.Checks, manifest.Checks, variant.Checks,
)
