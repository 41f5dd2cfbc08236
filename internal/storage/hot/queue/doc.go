// Package queue is the order in which changes of the home go to S3: what is pending,
// and what may go now. It is pure: no files, no network, no clock, no goroutine, no
// lock. The caller says what it saw and what became of each job, and asks for the next.
//
// # Names
//
// A change is known by its name: the path below the root for a file or a symbolic
// link, the path and a slash for a directory's marker. So a file that became a
// directory is two names, one to delete and one to write, as it is two keys in S3.
//
// # The rules
//
// Each observation gets a sequence number. A pending write remembers the first
// observation that S3 does not have; a pending delete has a barrier, the last observation
// that may have come before the deletion.
//
//  1. Writes go oldest first, many at once, when they have been quiet for Rules.Quiet or
//     have waited for Rules.MaxStaleness. One that replaces an object gives way to older
//     ones that add one (a commit's objects before the branch that names them), but never
//     beyond MaxStaleness.
//     Of writes that take long (Rules.Bulk) a few are under way at a time, so that those that do not are not
//     kept waiting by them.
//  2. A delete goes when no write that was first observed up to its barrier is pending.
//  3. A pending write whose file vanishes without having reached S3 leaves a span, from its
//     first observation to that of its vanishing: a barrier within a span counts as the
//     span's end. (A second repack removes the pack, not yet in S3, in which the first one
//     had put the objects that it deleted. They may go only when the second pack is in S3.)
//     So does a directory in which files may have come and gone before it was watched.
//     Spans that overlap are one. A write that waits for a group also waits for the files
//     that replaced the group's members.
//  4. A write that S3 can hold only once something else is deleted (a file where a directory
//     was, or the reverse) waits for that delete and does not hold it back; also when
//     the deleted name is observed to be written once more, as long as S3 holds its object.
//     Of the deletes that it waits for, a file in the place of a directory goes first: others
//     may wait for that one too, and hold the rest back when they need not wait any more.
//  5. A change that cannot be stored is reported, and no write waits for it. It holds
//     deletions back, as any pending write does, while S3 has no version of its name: the
//     content may have been renamed to there, and its old name may hold the only copy. So it does
//     after a deletion of its name that may have arrived, until it is stored. Where S3
//     has an older version, and for a directory's marker, which has no content, it holds nothing;
//     unless the caller knows that its file had the name of an object that is to be deleted
//     ([Queue.OnlyCopy]): an older version does not have the content of what was renamed over it.
//  6. What could not be stored is tried again as soon as it is observed to have changed: the
//     refusal was of what it was before. Not so a file that never rests.
//
// A look at the disk can show a state newer than the events processed so far: a name is gone, and
// the event of where it went is still in the kernel's queue. So a delete gets its barrier only
// when the caller has observed everything up to the look ([Queue.ObservedUpTo]); the barrier is the
// newest observation by then. The end of a span is fixed in the same way, unless the deletion was
// observed in its place among all changes. A job that ran meanwhile may have read the disk later
// and have stored a file that was made anew: the caller then looks at the name once more
// ([Queue.Rechecked]).
//
// A job's effects lie between Next and Done; what is observed in between counts as
// newer than the job.
package queue
