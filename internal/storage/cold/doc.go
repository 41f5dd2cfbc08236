// Package cold is the cold path: the objects below one prefix of S3 as a directory.
//
// # The parts
//
//	FS        the tree, what differs from S3, and what runs in the background
//	node      a file, directory or symbolic link; one version of it, see below
//	listing   what LIST says becomes nodes (listing.go, load.go, walk.go)
//	content   the bytes of a file: the cache and what fetches into it (content.go, fetch.go)
//	          ahead of a reader: of one file readahead.go, of a directory's neighbours.go
//	dirty key      a key whose object is not yet what the tree says (dirty key.go), and what brings
//	          it there (dispatch.go, job.go, finish.go)
//	bridge    the kernel's FUSE requests in terms of the above (bridge*.go)
//	Handler   the control socket's requests in terms of the above (http*.go)
//
// Packages cache and pending keep bytes and dirty keys on the disk; index keeps attributes that
// LIST does not tell.
//
// # Versions
//
// A node stands for one version of an object, and for what is written to it here. When a
// listing shows another ETag, the name gets another node and the old one goes on as an
// open, unlinked file would: so neither a read nor the kernel's page cache can mix two
// versions, and a handle on the old one reads the old one or fails with ESTALE.
//
// # What S3 has, and what is to be there
//
// Every change makes a dirty key for its key and writes it to the journal before it is acknowledged.
// A dirty key says what S3 is believed to hold (base) and which node is to be there, or none. A
// worker takes a dirty key whose time has come, looks at both, and does what leads from the one
// to the other: PUT, COPY, DELETE, each with a condition on base and inside the fence. The
// order is storage.md's: a deletion waits until what was changed before it is in S3, and an
// object from which a renamed file still has to be copied is neither replaced nor deleted.
//
// # Locks
//
// FS.mu guards the tree and the dirty keys and is never held while S3 is waited for; content.mu
// guards what is being fetched. They nest in this order, the cache's own locks below them.
// The kernel is notified with none of them held: it may wait for a request of its own.
package cold
