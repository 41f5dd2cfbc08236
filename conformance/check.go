package conformance

import (
	"context"
	"errors"
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

// failure is why a requirement does not hold.
type failure struct{ reason, remedy string }

func (f *failure) Error() string { return f.reason }

// Fail says that a requirement does not hold: reason in one sentence, remedy as what the
// image's author does about it.
func Fail(reason, remedy string) error { return &failure{reason, remedy} }

// Failf is Fail without a remedy of its own; the requirement's text is remedy enough.
func Failf(format string, args ...any) error { return &failure{reason: fmt.Sprintf(format, args...)} }

// unsupported is why a requirement does not apply.
type unsupported struct{ reason string }

func (u *unsupported) Error() string { return u.reason }

// Unsupported says that the requirement is about something that this image or this
// engine does not have, and is allowed not to have.
func Unsupported(format string, args ...any) error {
	return &unsupported{reason: fmt.Sprintf(format, args...)}
}

// judge turns what Run returned into a status.
func judge(err error) (status Status, reason, remedy string) {
	var f *failure
	var u *unsupported
	switch {
	case err == nil:
		return Pass, "", ""
	case errors.As(err, &f):
		return Failed, f.reason, f.remedy
	case errors.As(err, &u):
		return NotSupported, u.reason, ""
	default:
		return Error, err.Error(), ""
	}
}
