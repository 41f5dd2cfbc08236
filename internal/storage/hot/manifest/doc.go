// Package manifest writes and reads the two objects that make hydrate fast: the manifest,
// an index of hot/, and the bundle, its small files packed together.
//
// Both are accelerators and never the truth. What they say of an object is believed
// only when the listing shows the same ETag and size and a Last-Modified strictly
// earlier than the manifest's own (Last-Modified has whole seconds: of an object
// written in the manifest's second it is not known which came first), and a content only
// when its SHA-256 is the one that the manifest holds for that entry. An object that fails a check
// is fetched by itself. Losing them costs time.
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
