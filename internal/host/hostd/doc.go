// Package hostd is the daemon that keeps the sandboxes of one data directory in
// reach of their storage: it serves the embedded S3 and, for each sandbox, the gateway's
// socket in the directory that is mounted into its container.
//
// # Its life
//
// A data directory has one daemon, which holds a lock. A command that needs it calls Ensure,
// which starts one when none answers, in a session of its own: it outlives the program that
// started it, for as long as a sandbox has not ended or a program holds on to it, and then
// a little longer (Linger).
//
// It may be killed at any time. All that it knows is in the data directory, so the next one
// serves the same sockets, in the same directories, again; clients see refused
// connections meanwhile and try again. Three processes notice its death, and the first of them
// starts the next one: the guard, a process that does nothing else; every program
// that holds on to it; and the next command that is run.
//
// # Ending sandboxes
//
// The program that runs a sandbox ends it as well (package teardown). When that program has
// gone (a detached run, or one that was killed) the daemon takes over the lock of the
// sandbox and does it.
package hostd
