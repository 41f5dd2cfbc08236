package execapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Problem is the answer to a request that has failed.
type Problem struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`

	status int
}

// Kinds of problems that a caller decides by; compare with errors.Is.
var (
	ErrInvalid       = &Problem{Kind: "invalid", status: http.StatusBadRequest}                 // the request makes no sense
	ErrNotFound      = &Problem{Kind: "not-found", status: http.StatusNotFound}                 // no such exec, file, port or route
	ErrExists        = &Problem{Kind: "exists", status: http.StatusConflict}                    // an exec of that ID, or a file
	ErrDenied        = &Problem{Kind: "denied", status: http.StatusForbidden}                   // the agent may not
	ErrTooMany       = &Problem{Kind: "too-many", status: http.StatusTooManyRequests}           // execs
	ErrStopping      = &Problem{Kind: "stopping", status: http.StatusServiceUnavailable}        // the sandbox is
	ErrUnbound       = &Problem{Kind: "unbound", status: http.StatusConflict}                   // it is no user's yet
	ErrNoCommand     = &Problem{Kind: "no-command", status: http.StatusUnprocessableEntity}     // the command was not found
	ErrNotExecutable = &Problem{Kind: "not-executable", status: http.StatusUnprocessableEntity} // the command cannot be executed
	ErrFailed        = &Problem{Kind: "failed", status: http.StatusInternalServerError}         // anything else
)

// Error is the sentence.
func (p *Problem) Error() string { return p.Message }

// Is compares kinds.
func (p *Problem) Is(other error) bool {
	o, ok := other.(*Problem)
	return ok && o.Kind == p.Kind
}

// Because is the problem with a sentence that says what could not be done, and why.
func (p *Problem) Because(format string, args ...any) *Problem {
	return &Problem{Kind: p.Kind, Message: fmt.Sprintf(format, args...), status: p.status}
}

// Status is the HTTP status.
func (p *Problem) Status() int { return p.status }

// maxProblem bounds what is read of one.
const maxProblem = 64 << 10

// readProblem makes an error of an answer that is no success.
func readProblem(res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	var p Problem
	if err != nil || json.Unmarshal(body, &p) != nil || p.Kind == "" {
		return ErrFailed.Because("the exec server answers %s", res.Status)
	}
	return &p
}

// StartCode is the exit code of a command that could not be started: 127 when it was not found, 126 when it
// cannot be executed. ok is false for other errors.
func StartCode(err error) (code int, ok bool) {
	switch {
	case errors.Is(err, ErrNoCommand):
		return 127, true
	case errors.Is(err, ErrNotExecutable):
		return 126, true
	}
	return 0, false
}
