// Package sqlite reads a SQLite database that other processes may be writing to, as one file:
// the database with its write-ahead log applied, or with its hot journal rolled back. It links no
// SQLite library; it follows the protocol and the file formats that SQLite documents
// (https://www.sqlite.org/fileformat2.html, lockingv3.html, walformat.html).
//
// # Invariant
//
// What [Snapshot.CopyTo] has written when it returns nil is a state of the database after a
// whole number of transactions: what a process that opened the database at one instant would
// have read. Nothing in the database's directory is ever changed: locks are the only trace.
//
// # Locks
//
// SQLite locks with POSIX record locks (fcntl F_SETLK). A process loses those on a file when it
// closes any descriptor of that file, so this package takes locks of open file descriptions
// (F_OFD_SETLK): they end with their own descriptor alone, they conflict with the POSIX locks of
// every process in the same way, and no other descriptor of this process disturbs them. All of
// them are shared locks, for which a descriptor that can only read is enough.
//
//   - The database: a shared lock, taken as SQLite takes it: first on PENDING, so that a writer
//     that waits for its readers to leave is not starved, then on the shared range. A writer
//     with a rollback journal changes the database under an exclusive lock on that range; a
//     process in locking_mode=EXCLUSIVE keeps one all the time, and then nothing can be read.
//   - The wal-index (-shm), while a process has it open: a shared lock on the checkpoint byte,
//     and one on a read mark. Without the first no checkpoint writes to the database; without
//     every read mark no writer begins the log anew. Writers go on appending to the log, behind
//     the frame up to which it is read.
//
// A -shm that no process has open is not locked: the next process to open it would take this
// lock for a live connection's, and trust an index that may be older than the log.
//
// Locks are held for [Patience] at most in the journal modes, which is shorter than the busy
// timeout that writers usually have, and for [logPatience] with a log, where no writer waits.
// A copy that takes longer goes on without locks, and counts only when the files have not changed
// when it is done.
package sqlite
