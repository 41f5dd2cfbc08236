// Package attrindex remembers the attributes of objects that a listing does not tell: mode, mtime to
// the nanosecond, and the targets of symbolic links. Without it a listing of 10,000 files would
// cost 10,000 requests, or show them all with mode 0644.
//
// It is an accelerator and never the truth, which is in each object's metadata. An entry is for one
// version of an object, so a caller that has listed the object knows whether the entry is about it:
// ETag, size and Last-Modified have to agree. A change of attributes alone leaves ETag and size as they were, and
// S3 counts in seconds, so a table leaves out what is too young to be told from the version that comes next: a
// sandbox that ends before it has shared the next table leaves no older attributes behind that look like the newer
// object's.
//
// # Files
//
//	attrs      sorted entries in blocks of some 8 KiB, each with a checksum, then the first
//	           key of each block; this file is what is shared through S3
//	attrs.log  what came since: frames of one entry, cut off where a kill left them torn
//
// In memory are the log's entries and one key of each block: some 3 MB for a million files of
// which 10,000 are new. Both formats are read by newer versions of this program for ever; what
// cannot be read is dropped, and what it told is told by the objects.
package attrindex
