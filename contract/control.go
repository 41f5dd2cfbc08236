package contract

import "time"

// The control socket is an HTTP/1.1 server on a unix socket,
// ControlSocketName in the run directory, that the agent may open.
//
//	GET  /v1/status       StorageStatus
//	POST /v1/checkpoint   Checkpoint, when what was on disk at the call is in S3
//	GET  /metrics         Prometheus text exposition format 0.0.4
//
// An error is an HTTP status of 400 and more with a ControlError as body.
const (
	ControlStatusPath     = "/v1/status"
	ControlCheckpointPath = "/v1/checkpoint"
	ControlMetricsPath    = "/metrics"
)

// ControlError is the body of a refused request.
type ControlError struct {
	Error string `json:"error"`
}

// Checkpoint is the answer to a checkpoint that succeeded.
type Checkpoint struct {
	Sequence uint64        `json:"sequence"` // the journal's sequence number up to which S3 has everything
	Took     time.Duration `json:"took_ns"`
	Files    int           `json:"files"` // uploaded by this call
	Bytes    int64         `json:"bytes"`
}

// StorageStatus is what the storage process knows.
type StorageStatus struct {
	Hot      HotStatus        `json:"hot"`
	Cold     *ColdStatus      `json:"cold,omitempty"`
	Lease    LeaseStatus      `json:"lease"`
	Store    StoreStatus      `json:"store"`
	Requests map[string]int64 `json:"requests"` // requests sent to S3, by verb: "GET", "PUT", "LIST", ...
}

// HotStatus counts in files and bytes. A directory or a symbolic link counts as a file.
type HotStatus struct {
	State       string        `json:"state"` // "hydrating", "synced", "syncing", "held" or "failed"
	Files       int64         `json:"files"` // known to be in S3
	Bytes       int64         `json:"bytes"`
	DirtyFiles  int64         `json:"dirty_files"` // changed and not yet in S3
	DirtyBytes  int64         `json:"dirty_bytes"`
	InFlight    int64         `json:"in_flight"`             // uploads, copies and deletes under way
	Uploaded    int64         `json:"uploaded"`              // since this process started
	UploadBytes int64         `json:"uploaded_bytes"`        // since this process started
	Hydrated    int64         `json:"hydrated_files"`        // written by hydrate
	HydrateTook time.Duration `json:"hydrate_took_ns"`       //
	LastSuccess time.Time     `json:"last_success,omitzero"` // when all that was known to be dirty was in S3
	Staleness   time.Duration `json:"staleness_ns"`          // age of the oldest change that is not in S3
	NotAtRest   []string      `json:"not_at_rest,omitempty"` // files that never rest; up to 100
	Failed      []Unsaved     `json:"failed,omitempty"`      // up to 100, with the reasons
	FailedCount int64         `json:"failed_count"`          // all of them
	Held        string        `json:"held,omitempty"`        // why deletions are held back
	Problem     string        `json:"problem,omitempty"`     // what keeps more than single files from being saved, in one sentence
	Conflicts   int64         `json:"conflicts"`             // conflict copies made since this process started
	Rescans     int64         `json:"rescans"`               // scans of the whole tree
	WatchLimit  bool          `json:"watch_limit,omitempty"` // there are more directories than this sandbox's share of the kernel's inotify watches: changes are found by scanning
	Kept        []Unsaved     `json:"kept_in_s3,omitempty"`  // keys that cannot be files here, kept in S3; up to 100
	Mounts      []string      `json:"mounts,omitempty"`      // what is mounted in the home, which is left out; up to 100
	Sequence    uint64        `json:"sequence"`              // the journal's newest sequence number
	ManifestAge time.Duration `json:"manifest_age_ns"`       // -1 when there is none
}

// Unsaved is one file that is not in S3 as it is on disk, and why.
type Unsaved struct {
	Path   string `json:"path"` // below HOT_PATH; bytes that are not UTF-8 are percent-escaped as in keys
	Reason string `json:"reason"`
}

// UnsavedList is the content of UnsavedFileName.
type UnsavedList struct {
	SandboxID string    `json:"sandbox_id"`
	Time      time.Time `json:"time"`
	Files     []Unsaved `json:"files"`
}

// LeaseStatus says which sandbox may write.
type LeaseStatus struct {
	State    string    `json:"state"` // "held", "lost", "none" (the store has no conditional writes), "waiting"
	Instance string    `json:"instance,omitempty"`
	Renewed  time.Time `json:"renewed,omitzero"`
	Warning  string    `json:"warning,omitempty"`
}

// StoreStatus says what was found of the S3 server.
type StoreStatus struct {
	Bucket   string `json:"bucket"`
	Prefix   string `json:"prefix"`
	Endpoint string `json:"endpoint"`

	// Conditional names the verbs whose If-Match and If-None-Match the store honours:
	// "PUT", "DELETE", "COPY", "COMPLETE". The others are preceded by a HEAD.
	Conditional []string `json:"conditional"`
}

// ColdStatus counts what the cold path has not yet in S3.
type ColdStatus struct {
	PendingFiles int64     `json:"pending_files"`
	PendingBytes int64     `json:"pending_bytes"`
	CacheBytes   int64     `json:"cache_bytes"`
	CacheMax     int64     `json:"cache_max_bytes"`
	Failed       []Unsaved `json:"failed,omitempty"`
}
