// Package pending is the cold path's journal: what differs between the directory that its users
// see and S3, so that a process that takes over after a SIGKILL knows what to upload.
//
// An Entry speaks of one key: what S3 holds there as far as is known, and what is to be
// there. Entries come and go in batches; a batch is in the journal whole or not at all, which
// is what makes a rename one event. The journal is a file of frames
//
//	4 length  4 CRC-32C of the payload  payload: records, each a put or a removal of an entry
//
// after a header of 16 bytes. A frame that is cut off or damaged at the end of the file is
// what a kill leaves: it and what follows is cut off, since no caller was told that it is there.
// Apply returns when the kernel has the batch, which a SIGKILL cannot take back; Sync when
// the disk has it. The format is read by newer versions of this program for ever.
//
// The journal does not keep entries in memory: its owner has them, and hands them over when the
// file has to be written anew (Compact).
package pending
