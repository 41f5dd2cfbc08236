// Package run runs sandboxes: it is what `sandbox run` and `sandbox save` do.
//
// A run goes through these steps, and what one has made the next failing one takes away:
//
//  1. A record in the data directory, with the lock on it: from here on a daemon that
//     finds the lock free ends the sandbox well, however this program has ended.
//  2. The daemon, and the sandbox's socket. The store is asked for the lease, so that what
//     is wrong with bucket or credentials is said before anything is started.
//  3. Home and state, on a disk of the sandbox's own when that is limited, and the container;
//     streams are attached, then it is started.
//  4. It is followed to its end, or left to the daemon (a detached run).
//  5. Its end is judged and cleaned up (package teardown), and told.
package run
