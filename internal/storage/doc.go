// Package storage is the process that holds the credentials: `sandbox-init storage`, started
// by PID 1 alone.
//
// Its life, as internal/wire has the messages:
//
//	Main      non-dumpable, limits on memory and threads; Hello, Start
//	hydrate   is the bucket there, which conditions does it honour, the lease, the home
//	run       changes go up; the cold path and the control socket are served
//	drain     the bulk of the flush begins
//	flush     the rest, the lease is given back, Flushed
//
// # Rules
//
//   - It acts on PID 1's messages and on nothing else. Signals that a terminal or a user may
//     send are ignored: PID 1 decides when the sandbox stops.
//   - The end of the wire is PID 1's death: the process exits in that instant, with requests
//     under way. Nothing is issued for a sandbox that is no more.
//   - Before Hydrated nothing in S3 changes but the lease and what Probe writes and removes
//     beside it. A Stop in that time releases the lease, and that is all.
//   - One that resumes after a crash watches the home at once and writes as soon as the
//     lease is its own again, which the same INSTANCE may take at any time. S3 being away is
//     no reason to fail then: the workload is running.
//   - What cannot be saved is said: in Flushed, in contract.UnsavedFileName, in the log.
//
// hot is the home, cold the cold path, lease and objectstore what both stand on, control the
// socket that others ask.
package storage
