// Package hot keeps the home and S3 the same: it hydrates the home, watches it, uploads what
// changes within seconds, and saves the rest when the sandbox stops.
//
// # Parts
//
//	tree      the only way to the home: no symbolic link is ever followed
//	journal   what S3 holds of each path, what was deleted, what was sent and not answered
//	ignore    what is left out
//	hydrate   the home from S3, before the workload starts; fetch, conflict and manifest serve it
//	watch     what happens in the home, in order
//	queue     what is pending, and what may go now (pure)
//	stable    one version of a file that others write to; sqlite and lmdb know
//	          files that are only right together
//	upload    one name to S3: conditional, fenced, conflicts resolved
//
// This package joins them. One goroutine, the observer, looks at the disk: it takes the
// kernel's events in their order, scans, and notes what it saw. What a look means is looked up
// and decided by a pure function (decide.go). Another goroutine, the syncer's dispatcher, takes
// from the queue what may go and gives it to uploads, many at a time. The two share what is
// pending (pending.go) and know nothing of each other's state. It is behind one lock, which is
// never held over a call that blocks.
//
// # Failures
//
// A failure that may be the store's is judged by what becomes of other names: only when several
// distinct names fail and none is stored does the breaker open. A name that fails alone is
// reported, and tried later.
//
// # Order
//
// A deletion is sent only when all that was written before it is in S3. The queue decides
// that; the observer provides the order. Events have one queue for all directories; a
// directory that is new is watched first and read then, before the next event is taken;
// of a rename the new name is looked at before the old one is given up. When events are lost (an overflow, the
// limit of watches), nothing is known to have been observed until a scan that began after
// that is through.
package hot
