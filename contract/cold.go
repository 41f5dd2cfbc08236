package contract

import "time"

// The cold path on the control socket: what `sandbox-init cold` asks for. It reaches the same
// tree as the mount, and works where there is none. Paths are below the cold root, in the query
// parameter "path"; what is not UTF-8 in them is escaped as in any URL.
//
//	GET    /v1/cold/list?path=P[&recursive=1][&attributes=dirs]  ColdEntry, one a line; the modes of
//	                                               directories may have to be asked for
//	GET    /v1/cold/keys[?prefix=K]                ColdKey, one a line: every key, also those that are no files
//	GET    /v1/cold/file?path=P | ?key=K           the content; the header ColdEntryHeader has the ColdEntry
//	PUT    /v1/cold/file?path=P[&mode=M&mtime=NS]  stores the body; ColdEntry, when it is in S3
//	PUT    /v1/cold/file?path=P&kind=dir[&mode=M]         makes a directory and those it is in; ColdEntry
//	PUT    /v1/cold/file?path=P&kind=symlink&target=T[&mtime=NS]  makes a symbolic link; ColdEntry
//	DELETE /v1/cold/file?path=P[&recursive=1] | ?key=K  ColdProgress, when it is gone from S3
//	POST   /v1/cold/sync[?path=P]                  ColdProgress, one a line; the last one has Done
//
// A listing or a content that ends without its last line or byte was broken off. A PUT with wait=0
// is answered once it is kept here. The status 502 says that what was asked for is kept
// and pending, and not in S3 yet; 503 that a list cannot be made now, since others are under way or the
// sandbox is stopping.
const (
	ControlColdPrefix   = "/v1/cold/"
	ControlColdListPath = ControlColdPrefix + "list"
	ControlColdKeysPath = ControlColdPrefix + "keys"
	ControlColdFilePath = ControlColdPrefix + "file"
	ControlColdSyncPath = ControlColdPrefix + "sync"

	// ColdEntryHeader carries a ColdEntry as JSON in ASCII.
	ColdEntryHeader = "Cold-Entry"
)

// ColdEntry is a file, a directory or a symbolic link of the cold path.
type ColdEntry struct {
	Path    string    `json:"path"` // below the cold root; bytes that are not UTF-8 are percent-escaped as in keys
	Kind    string    `json:"kind"` // "file", "dir" or "symlink"
	Size    int64     `json:"size"`
	Mode    string    `json:"mode"` // octal permissions
	Mtime   time.Time `json:"mtime"`
	Target  string    `json:"target,omitempty"`  // of a symbolic link
	Pending bool      `json:"pending,omitempty"` // not yet in S3 as it is here

	// RawPath and RawTarget are the bytes of Path and Target, only where those are not UTF-8.
	RawPath   []byte `json:"raw_path,omitempty"`
	RawTarget []byte `json:"raw_target,omitempty"`

	// End marks the last line of a listing, and has no other fields.
	End bool `json:"end,omitempty"`
}

// ColdKey is one object below the cold prefix, whether it can be a file or not.
type ColdKey struct {
	Key      string    `json:"key"` // below the cold prefix
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Hidden   string    `json:"hidden,omitempty"` // why it is not shown as a file
	End      bool      `json:"end,omitempty"`
}

// ColdProgress counts what has not reached S3 yet.
type ColdProgress struct {
	PendingFiles int64     `json:"pending_files"`
	PendingBytes int64     `json:"pending_bytes"`
	Done         bool      `json:"done"`
	Unsaved      []Unsaved `json:"unsaved,omitempty"` // with Done: what will not get there by waiting
	UnsavedCount int64     `json:"unsaved_count"`
}
