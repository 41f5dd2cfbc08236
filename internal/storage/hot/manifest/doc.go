// Package manifest writes and reads the two objects that make hydrate fast: the manifest,
// an index of hot/, and the bundle, its small files packed together.
//
// Both are accelerators and never the truth. What they say of an object is believed
// only when the listing shows the same ETag and size and a Last-Modified strictly
// earlier than the moment up to which the manifest vouches (Last-Modified has whole seconds: of an object
// written in that second it is not known which came first), and a content only
// when its SHA-256 is the one that the manifest holds for that entry. An object that fails a check
// is fetched by itself. Losing them costs time.
//
// # Up to when a manifest vouches
//
// The attributes of an object change without its ETag. So a manifest says as of when its entries are: the Date of the
// newest answer before they began to be collected. It is a whole second, of a clock that some servers read once a second.
// Of the files that were stored in the last seconds of a sandbox most are later.
//
// A manifest that is sealed ([lease.Seal]) vouches up to its own Last-Modified. The invariant of a seal: between the
// moment from which on the entries of that upload of a manifest were collected and its arrival, no sandbox wrote to the
// hot prefix, save what is in the entries.
//
//   - No other sandbox did: a seal is left by the release of the lease, which fails for a holder that lost it.
//   - The writer itself did not: the journal's sequence number, read before the entries were collected, is the same
//     once nothing is under way any more. A write without an answer could have arrived in between: the paths of such
//     writes have no entries, and one that came later prevents the seal. A flush that leaves a file unsaved seals nothing.
//   - It is that upload: its answer came, to its only attempt. One that is still on its way when its writer is killed
//     is in no seal. A manifest says when it was made, so no other one has its ETag. A copy that was stored later, as
//     the restoring of a bucket does, has a Last-Modified beyond the seal's bound.
//
// What any client stores after the manifest arrived has its Last-Modified or a later one, and is asked from S3. So the
// seal stays true, whichever sandboxes have held the lease since, and however they ended.
//
// A write of a client that holds no lease, or one of a dead holder that a server finishes late, can replace the attributes
// alone, in the seconds between the two moments. Then the manifest's attributes win, as they do over such a write at any time
// while the sandbox runs: the journal has not seen it. No content is at stake, since another content has another ETag.
//
// # The manifest
//
// MetaPrefix + "hot/manifest". Lengths and numbers are varints as in encoding/binary.
//
//	"matrx-sandbox manifest 2\n"
//	blocks of up to 990 entries, in the order of their keys
//	footer: created (ns), as of (the server's time in seconds), hot prefix, count; the
//	        bundle's hash, size, ETag; of each block its length, count and first key
//	8 bytes where the footer begins, 32 bytes SHA-256 of all before, "end\n"
//
// A block holds a little less than a page of a listing, so that one LIST from the
// block's first key to the next one's is one request. An entry's key shares its
// beginning with the one before it (within the block); an ETag that is an MD5 is 16
// bytes; the place in the bundle is the gap to the entry before it, usually 0.
//
// # The bundle
//
// MetaPrefix + "hot/bundle-" + its SHA-256 in hexadecimal: the contents of entries,
// one after the other in the order of their keys, and nothing else. Never overwritten:
// when contents change, their entries lose their place in it, and a new one is written
// when that has become a tenth.
//
// Everything read here comes from outside: it is checked as it is decoded, the memory
// that it takes follows from the block, never from a number in the file, and a manifest
// that is in any way wrong is no manifest (errMalformed).
package manifest
