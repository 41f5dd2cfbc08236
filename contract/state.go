package contract

import "time"

// Phase is a state of the lifecycle, in the order in which they follow each other.
type Phase string

// The phases. A sandbox is ready in PhaseRun alone.
const (
	PhaseBoot    Phase = "boot"
	PhaseUnbound Phase = "unbound" // only with SANDBOX_UNBOUND=1
	PhaseHydrate Phase = "hydrate"
	PhaseRun     Phase = "run"
	PhaseDrain   Phase = "drain"
	PhaseFlush   Phase = "flush"
	PhaseExit    Phase = "exit"
)

// SessionRole is the subcommand that becomes an exec'd command as the agent: sandbox-init
// exec-as-agent COMMAND ARG...; see State.SessionRole.
const SessionRole = "exec-as-agent"

// State is what PID 1 knows of the sandbox. It is written to StateFileName in
// the run directory whenever it changes, by rename, so that a reader sees a whole
// one; it can be read when the storage process is down.
type State struct {
	Phase     Phase     `json:"phase"`
	Ready     bool      `json:"ready"`
	SandboxID string    `json:"sandbox_id"`
	UserID    string    `json:"user_id"`
	Version   string    `json:"version"`
	PID       int       `json:"pid"` // sandbox-init's own, in its PID namespace
	StartedAt time.Time `json:"started_at"`
	BoundAt   time.Time `json:"bound_at,omitzero"` // of a sandbox that was started unbound
	ReadyAt   time.Time `json:"ready_at,omitzero"`

	HotPath  string `json:"hot_path"`
	ColdPath string `json:"cold_path"`

	// Isolation is "full" when the workload runs as another user than the
	// storage process and cannot reach its credentials, else "none".
	Isolation string `json:"isolation"`

	// SessionRole is the argument of sandbox-init that runs an exec'd command with the rights of the
	// sandbox's own (SessionRole); empty: this sandbox-init has none.
	SessionRole string `json:"session_role,omitempty"`

	// Storage is "s3", or "none" when no S3_BUCKET was given and nothing is kept.
	Storage string `json:"storage"`

	// StoragePID is the storage process, 0 while there is none;
	// StorageRestarts counts how often it had to be started again.
	StoragePID      int `json:"storage_pid,omitempty"`
	StorageRestarts int `json:"storage_restarts,omitempty"`

	// ExecPID is the exec server, 0 while there is none; ExecRestarts counts how often it had to be started again.
	ExecPID      int `json:"exec_pid,omitempty"`
	ExecRestarts int `json:"exec_restarts,omitempty"`

	// WorkloadPID is the command, 0 when there is none (an idle sandbox).
	WorkloadPID int `json:"workload_pid,omitempty"`

	// Cold is "mounted", "unavailable" or "none"; ColdReason says why it is unavailable.
	Cold       string `json:"cold,omitempty"`
	ColdReason string `json:"cold_reason,omitempty"`

	// Hydrate is what was brought from S3 before the workload started; nil until then.
	Hydrate *Transfer `json:"hydrate,omitempty"`

	// Flush is the result of the flush, nil until it has ended. Its UnsavedCount is what
	// the exit code ExitUnsaved stands for.
	Flush *FlushResult `json:"flush,omitempty"`

	// ExitCode is the code that sandbox-init ends with, set together with PhaseExit. A
	// container that is gone without it was killed: what was not yet in S3 is then on
	// its volume alone.
	ExitCode *int `json:"exit_code,omitempty"`

	// Problem is the newest thing that an operator should know, in one sentence; empty when all is well.
	Problem string `json:"problem,omitempty"`
}

// Transfer counts what was moved between S3 and the sandbox.
type Transfer struct {
	Files int64         `json:"files"`
	Bytes int64         `json:"bytes"`
	Took  time.Duration `json:"took_ns"`
}

// FlushResult is what the flush did and what it could not save.
type FlushResult struct {
	Transfer
	UnsavedCount int64  `json:"unsaved_count"`
	Reason       string `json:"reason,omitempty"` // why not everything was saved
}

// Values of State.Isolation, State.Storage and State.Cold.
const (
	IsolationFull   = "full"
	IsolationNone   = "none"
	StorageS3       = "s3"
	StorageNone     = "none"
	ColdMounted     = "mounted"
	ColdUnavailable = "unavailable"
	ColdNone        = "none"
)
