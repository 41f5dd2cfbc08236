// Package cold is the cold path: the objects below one prefix of S3 as a directory.
//
// # The parts
//
//	FS         the operations that the fronts call; made of the parts below, of which each knows only
//	           those below it, by its fields (fs.go)
//	names      making, renaming and removing names (make.go, rename.go, remove.go, place.go)
//	files      writing, truncating and changing attributes (io.go, attr.go, space.go)
//	recovery   what an earlier process left (recover.go), and an earlier boot (crashed.go)
//	writeback  brings dirty keys to S3 by jobs (dispatch.go, job.go, send.go, compose.go, finish.go,
//	           moved.go)
//	listings   what LIST says becomes nodes (listing.go, load.go, walk.go), also of one name (resolve.go)
//	databases  SQLite's files, which are one object (database.go)
//	contents   the bytes of files: the cache and what fetches into it (content.go, fetch.go, past.go);
//	           ahead of a reader: of one file readahead.go, of a directory's neighbours.go
//	changes    the dirty keys: the keys whose object is not yet what the tree says (dirtykey.go), their
//	           order (order.go), and changes of several that are one (tx.go)
//	tree       the nodes; a node is a file, directory or symbolic link, in one version of it, see below
//	core       the configuration, the store, the disk and the lock, which all of them have
//
// Two fronts translate requests into the tree's operations: fusefs the kernel's, httpapi the control
// socket's. Packages cache and pending keep bytes and dirty keys on the disk; attrindex keeps attributes that LIST does not tell.
//
// # Versions
//
// A node stands for one version of an object, and for what is written to it here. When a
// listing shows another ETag, the name gets another node and the old one goes on as an
// open, unlinked file would: so neither a read nor the kernel's page cache can mix two
// versions, and a handle on the old one reads the old one or fails with ESTALE. A file that lost
// its name to another client gets the name of a conflict copy with its next write (displaced.go);
// one that was removed here stays readable until the kernel forgets it (orphan.go).
//
// # What S3 has, and what is to be there
//
// Every change makes its key a dirty key and writes it to the journal before it is acknowledged.
// A dirty key says what S3 is believed to hold (base) and which node is to be there, or none. A
// worker takes a dirty key whose time has come, looks at both, and does what leads from the one
// to the other: PUT, COPY, DELETE, each with a condition on base and inside the fence. The
// order is this: a deletion waits until what was changed before it is in S3, and an
// object from which a renamed file still has to be copied is neither replaced nor deleted.
//
// # Locks
//
// core.mu guards the tree and the dirty keys and is never held while S3 is waited for; content.mu
// guards what is being fetched. They nest in this order, the cache's own locks below them.
// A front is told of changes with core.mu held, and must not wait: the kernel may wait for a request of
// its own.
package cold
