package execapi

import (
	"time"
	"unicode/utf8"
)

// Protocol is the name that a connection is upgraded to.
const Protocol = "sandbox-exec/1"

// Bounds of what a sandbox's exec server takes and keeps.
const (
	MaxRunning     = 256      // execs at a time
	MaxKnown       = 1024     // those that have ended included
	KeptOutput     = 1 << 20  // bytes of each exec
	KeptAltogether = 16 << 20 // bytes of all execs of a sandbox
	KeptFor        = 10 * time.Minute
	MaxRequest     = 1 << 20  // bytes of a request's JSON
	Window         = 64 << 10 // bytes of standard input that may be under way
)

// Spec says what to run.
type Spec struct {
	// ID names the exec, [A-Za-z0-9][A-Za-z0-9._-]{0,63}; empty: the server chooses one.
	ID string `json:"id,omitempty"`

	Args []string `json:"args"`
	// Env is KEY=VALUE, on top of the sandbox's own environment.
	Env []string `json:"env,omitempty"`
	Dir string   `json:"dir,omitempty"` // empty: the home

	Stdin    bool  `json:"stdin,omitempty"`    // else it reads nothing
	Terminal *Size `json:"terminal,omitempty"` // it gets a terminal of that size

	// Timeout ends the exec with all its descendants; 0: none.
	Timeout time.Duration `json:"timeout_ns,omitempty"`

	// Tied ends the exec with all its descendants when the stream that started it breaks without a FrameDetach.
	Tied bool `json:"tied,omitempty"`
}

// Size is a terminal's.
type Size struct {
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

// Reason is why an exec has ended.
type Reason string

// The reasons.
const (
	Exited   Reason = "exited"   // by itself, with a code
	Signaled Reason = "signaled" // a signal has ended it
	TimedOut Reason = "timeout"  // it was ended at its timeout
	OOM      Reason = "oom"      // the kernel has ended it for want of memory
	Lost     Reason = "lost"     // its server was killed, and it was ended with it; descendants that had left it may live until the sandbox stops
	Stopped  Reason = "stopped"  // it ended after the sandbox began to stop, or was removed
)

// Final is how an exec has ended.
type Final struct {
	Reason Reason    `json:"reason"`
	Code   int       `json:"code"`             // the exit code, or 128+n when signal n ended it; -1: lost
	Signal int       `json:"signal,omitempty"` // that ended it
	Output int64     `json:"output"`           // bytes altogether
	Ended  time.Time `json:"ended"`
}

// Exec is what is known of one.
type Exec struct {
	ID       string        `json:"id"`
	Args     []string      `json:"args"` // the first 4 KiB
	Dir      string        `json:"dir,omitempty"`
	PID      int           `json:"pid,omitempty"` // in the sandbox
	Stdin    bool          `json:"stdin,omitempty"`
	Terminal bool          `json:"terminal,omitempty"`
	Timeout  time.Duration `json:"timeout_ns,omitempty"`
	Started  time.Time     `json:"started"`
	Attached int           `json:"attached,omitempty"` // streams
	From     int64         `json:"from"`               // the first byte of output that is kept, and
	To       int64         `json:"to"`                 // the one after the last
	Final    *Final        `json:"final,omitempty"`    // nil: it runs
}

// Gap is output that is no longer kept: From up to To.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// ValidID says whether a text can name an exec.
func ValidID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return utf8.ValidString(id)
}
