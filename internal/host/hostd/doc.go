// Package hostd is the process that keeps the sandboxes of one data directory in
// reach of their storage: it serves the embedded S3 and, for each sandbox, the gateway's
// socket in the directory that is mounted into its container.
//
// # Its life
//
// There is one keeper a data directory, held by a lock. Whoever needs it calls Ensure,
// which starts one when none answers, in a session of its own: it outlives the program that
// started it, for as long as a sandbox has not ended or a program holds on to it, and then
// a little longer (Linger).
//
// It may be killed at any time. All that it knows is in the data directory, so the next one
// serves the same sockets, in the same directories, again; clients see refused
// connections meanwhile and try again. Three look out for its death, and the first to
// notice starts the next one: the guard, a process that does nothing else; every program
// that holds on to it; and whatever command is run next.
//
// # Ending sandboxes
//
// The program that runs a sandbox ends it as well (package ending). When that program is
// gone (a detached run, or one that was killed) the keeper takes over the lock of the
// sandbox and does it.
package hostd
