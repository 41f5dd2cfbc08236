// Package check is what a check of the suite works with: the value that it is declared as, what it
// returns, and the sandboxes, workspaces and images that its Env gives it. Package conformance has
// other names for all that an importer's own checks need.
//
// Everything that a check starts is removed when the check ends, whether it returns, fails or panics.
package check

import (
	"context"
	"fmt"
)

// Check judges one requirement. It is declared as a value, one to a file or a close
// family of them to a file.
type Check struct {
	ID string // of the requirement in the contract, or of the importer's own

	// Static checks look at the image and start no container.
	Static bool

	// Run returns nil when the requirement holds, a Fail when it does not, Unsupported when
	// the image is excused, and any other error when it could not be judged.
	Run func(ctx context.Context, e *Env) error
}

// Failure is why a requirement does not hold.
type Failure struct{ Reason, Remedy string }

func (f *Failure) Error() string { return f.Reason }

// Fail says that a requirement does not hold: reason in one sentence, remedy as what the
// image's author does about it.
func Fail(reason, remedy string) error { return &Failure{reason, remedy} }

// Failf is Fail without a remedy of its own; the requirement's text is remedy enough.
func Failf(format string, args ...any) error { return &Failure{Reason: fmt.Sprintf(format, args...)} }

// Excuse is why a requirement does not apply.
type Excuse struct{ Reason string }

func (e *Excuse) Error() string { return e.Reason }

// Unsupported says that the requirement is about something that this image or this
// engine does not have, and is allowed not to have.
func Unsupported(format string, args ...any) error {
	return &Excuse{Reason: fmt.Sprintf(format, args...)}
}
