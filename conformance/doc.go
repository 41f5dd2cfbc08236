// Package conformance proves that an image keeps the sandbox contract.
//
// A repository that builds an image of its own imports it in a test of a few lines:
//
//	func TestImage(t *testing.T) {
//		conformance.Run(t, conformance.Options{Image: "my-image:latest"})
//	}
//
// Each requirement of the contract is one subtest, named by its ID, and one Check here:
// a value that names the requirement and the function that judges it. The checks see the
// image only from outside, as an orchestrator and an agent do; they bring their own S3,
// their own probe program and their own faults, and need nothing of the image but what
// the contract promises, not even a shell.
//
// # Statuses
//
//	pass         the requirement holds
//	fail         it does not; the reason and the remedy are given
//	error        it could not be judged: the engine or the suite failed. Never green
//	unsupported  the image says that it does not have what the requirement is about
//	skipped      the caller asked for it not to be run
//	not run      a requirement that it needs does not hold
//
// The verdict is conformant when every MUST passed or is unsupported, partial when none
// failed but some were not run or skipped, else not conformant.
//
// # Stability
//
// Options, Run, Execute, Check, Report and the IDs follow the module's version. Checks
// may become stricter about the same requirement in a minor version; Options.Contract
// selects requirements by the contract version that they exist since.
package conformance
