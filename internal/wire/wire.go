// Package wire is what PID 1 and the storage process say to each other.
//
// They share one SOCK_SEQPACKET socketpair, made by PID 1 before it starts the
// storage process, which finds its end at descriptor FD. One packet is one JSON
// Message; a descriptor may travel with it as SCM_RIGHTS (unix(7)). The end of the
// stream is the other's death: storage then stops at once and never writes to S3
// again, PID 1 starts a new storage process.
//
// The messages, in the order of a life:
//
//	PID 1                          storage
//	                            <- Hello (it is non-dumpable now)
//	Start (config, credentials) ->
//	                            <- Hydrated | Failed
//	[Cold: the FUSE descriptor] ->
//	                            <- ColdReady | ColdFailed
//	Problem, any time           <-
//	Drain (deadline)            ->                       bulk of the flush begins
//	Flush (deadline)            ->                       all processes have ended
//	                            <- Flushed (result)
//
// A Start with Resume set follows a crash of an earlier storage process in this
// same container: the home is in use, and storage goes on from its journal.
// A SIGTERM before Hydrated makes PID 1 send Stop: storage leaves S3 as it is,
// releases the lease and answers Flushed.
package wire

import (
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
)

// FD is the storage process's end of the socketpair.
const FD = 3

// MaxPacket bounds one packet in bytes: well below net.core.wmem_default (212,992),
// so that a packet is never refused for its size (EMSGSIZE).
const MaxPacket = 128 << 10

// Message is one packet; exactly one field is set.
type Message struct {
	Hello      *Hello      `json:"hello,omitempty"`
	Start      *Start      `json:"start,omitempty"`
	Cold       *Cold       `json:"cold,omitempty"`
	Drain      *Deadline   `json:"drain,omitempty"`
	Flush      *Deadline   `json:"flush,omitempty"`
	Stop       *Deadline   `json:"stop,omitempty"`
	Hydrated   *Hydrated   `json:"hydrated,omitempty"`
	Failed     *Failed     `json:"failed,omitempty"`
	ColdReady  *ColdReady  `json:"cold_ready,omitempty"`
	ColdFailed *ColdFailed `json:"cold_failed,omitempty"`
	Problem    *Problem    `json:"problem,omitempty"`
	Flushed    *Flushed    `json:"flushed,omitempty"`
}

// Hello is the first message of a storage process: it has made itself non-dumpable
// (prctl(2), PR_SET_DUMPABLE), so that credentials may be sent to it.
type Hello struct{}

// Start is the answer to Hello.
type Start struct {
	Config      config.Config `json:"config"`
	Resume      bool          `json:"resume"`
	Credentials Credentials   `json:"credentials"`
}

// Credentials are what PID 1 read of them: the content of S3_CREDENTIALS_FILE, or
// the AWS_* variables of its own environment. Both empty: the instance's or the
// task's own role, or none at all behind a unix endpoint that signs.
type Credentials struct {
	File []byte            `json:"file,omitempty"`
	Env  map[string]string `json:"env,omitempty"`
}

// Deadline is a point in CLOCK_BOOTTIME, in nanoseconds, since the wall clock may jump.
type Deadline struct {
	Boottime int64 `json:"boottime_ns"`
}

// Hydrated says that the home is what S3 holds.
type Hydrated struct {
	Files int64         `json:"files"`
	Bytes int64         `json:"bytes"`
	Took  time.Duration `json:"took_ns"`
}

// Failed says why the workspace is not available. Code is the exit code that follows.
type Failed struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Cold accompanies the FUSE descriptor.
type Cold struct{}

// ColdReady says that the cold mount is served.
type ColdReady struct{}

// ColdFailed says why it is not.
type ColdFailed struct {
	Reason string `json:"reason"`
}

// Problem is one sentence for State.Problem; empty when it is over.
type Problem struct {
	Message string `json:"message"`
}

// Flushed is the end: what was saved and what was not. The full list of what is
// missing is in contract.UnsavedFileName; the packet carries its beginning.
type Flushed struct {
	Files        int64              `json:"files"`
	Bytes        int64              `json:"bytes"`
	Took         time.Duration      `json:"took_ns"`
	UnsavedCount int64              `json:"unsaved_count"`
	Unsaved      []contract.Unsaved `json:"unsaved,omitempty"`
	Reason       string             `json:"reason,omitempty"`
}
