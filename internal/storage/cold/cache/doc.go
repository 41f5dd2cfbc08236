// Package cache is the cold path's disk cache: what was read of objects, and what was
// written here and is not yet in S3.
//
// # Layout
//
//	clean/xx/HEX   whole content of one version of one object, named by VersionID
//	partial/HEX    the same, of which only some blocks are here; dropped at a restart
//	dirty/NAME     content that S3 does not have; only its owner removes it
//	dirty/NAME.map which blocks of it are here, while some still have to come from S3
//	damaged/       what could not be read after a crash of the machine; only its user removes it
//	tmp/           side files of snapshots, unlinked as soon as they are made
//
// A File is sparse and as long as what it stands for. Blocks of BlockSize are here or
// missing; Fill brings a missing one, Pin reads what is here, WriteAt makes a block local for
// good. A File has one holder, the caller that got it from Checkout, Create or OpenDirty and
// gives it back with Return.
//
// # Rules
//
//   - Dirty bytes are never evicted. Clean ones go, least recently used first, in chunks of
//     16 MiB of a file that is held and whole files that are not.
//   - Used bytes stay at or below the maximum: a write that does not fit after all that is
//     clean is gone fails with ErrFull, and so does one that the disk refuses (ENOSPC).
//   - What WriteAt returned for survives a SIGKILL of this process: data is written before
//     the map says that it is there.
//   - After a restart of the machine clean content may be torn, so Open drops it when
//     the kernel's boot_id is another one. Dirty content is its owner's to judge.
//
// # Locks
//
// In the order in which they may nest: File.mu (shared by all input and output, exclusive
// for what takes bytes away), File.wr (one modification of a file at a time), Cache.mu
// (the books). Eviction runs with none of them held, and only tries its victim's lock.
package cache
