package lease

import (
	"errors"
	"fmt"
	"time"
)

// ErrLost is wrapped by what Fence.Write answers when another sandbox has taken the lease.
var ErrLost = errors.New("the lease was lost")

// ErrReleased is what Fence.Write answers after Release or Close.
var ErrReleased = errors.New("the lease was released")

// ErrInDoubt is the cause (context.Cause) with which a write under way is cancelled when
// no renewal has succeeded for writeFor. The write may be tried again through Fence.Write.
var ErrInDoubt = errors.New("the lease could not be renewed in time")

// HeldError says that another sandbox holds the lease.
type HeldError struct {
	Prefix    string        // the workspace, as S3 sees it
	SandboxID string        // both empty when the lease is not one that we can read
	Instance  string        //
	Age       time.Duration // since its last renewal, by the server's clock
	Waited    time.Duration // how long it was waited for
}

func (e *HeldError) Error() string {
	if e.Instance == "" {
		return fmt.Sprintf("cannot take the workspace %s: its lease cannot be read, so its holder is unknown; "+
			"set LEASE_WAIT_SECONDS=%d to wait until it expires, or delete the object when no sandbox of this user runs",
			e.Prefix, int(expireAfter/time.Second)+int(pollEvery/time.Second))
	}
	waited := ""
	if e.Waited > 0 {
		waited = fmt.Sprintf(", after waiting %s for it", e.Waited.Round(time.Second))
	}
	return fmt.Sprintf("cannot take the workspace %s: sandbox %q (instance %s) holds it and wrote its lease %s ago%s; "+
		"stop that sandbox, set LEASE_WAIT_SECONDS to wait for it, or, when it is known to be dead, start with LEASE_TAKEOVER=%s",
		e.Prefix, e.SandboxID, e.Instance, e.Age.Round(time.Second), waited, e.Instance)
}

// LostError says which sandbox has it now.
type LostError struct {
	SandboxID string
	Instance  string // empty: the lease had been deleted when its renewal was due
	Copy      bool   // Instance is our own, and another process renews with it
}

func (e *LostError) Error() string {
	if e.Instance == "" {
		return "the lease was lost: its object is gone and another sandbox may have held it since; nothing more is saved by this one"
	}
	if e.Copy {
		return fmt.Sprintf("the lease was lost: another process renews it as instance %s, so a copy of this sandbox's disk or machine runs; "+
			"nothing more is saved by this one; start copies with an empty state directory (SANDBOX_STATE_DIR)", e.Instance)
	}
	return fmt.Sprintf("the lease was lost: sandbox %q (instance %s) has taken the workspace; nothing more is saved by this one",
		e.SandboxID, e.Instance)
}

// Is makes errors.Is(err, ErrLost) true.
func (e *LostError) Is(target error) bool { return target == ErrLost }
