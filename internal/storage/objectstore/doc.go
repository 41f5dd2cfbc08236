// Package objectstore is S3 as this project needs it: one bucket, a handful of verbs,
// conditions on every write, checksums both ways, and errors that say what to do.
//
// # Use
//
//	s, err := objectstore.Open(ctx, objectstore.Options{S3: cfg.S3, Credentials: creds, Log: log})
//	err = s.Check(ctx, cfg.UserPrefix())       // is this bucket there, and may we?
//	cond, err := s.Probe(ctx, cfg.UserPrefix()+contract.ProbePrefix) // which conditions does the store honour?
//	o, err := s.Put(ctx, key, file, size, objectstore.PutOptions{Condition: objectstore.Condition{IfMatch: etag}})
//
// Open sends nothing. Keys are whole keys of the bucket. ETags are opaque and bare,
// without their quotes. A Store is safe for concurrent use; its connections are reused,
// and as many are opened as there are requests at a time: who calls says how many.
//
// # Promises
//
//   - A write that is reported as done is in the store, whole: every body travels with
//     a CRC32C that the server verifies, also when it is sent in parts.
//   - A body that is read is checked against the checksum that the server keeps, as a
//     whole (Get) or put together from ranges (Download). A connection that breaks in the
//     middle of a body is continued where it broke, of the same version or not at all.
//   - What is passing (a reset, 500, 503 SlowDown, 429, a stalled connection, a conflict
//     409) is tried again with backoff and full jitter, Retry-After honoured, until ctx's
//     deadline; without a deadline for Options.Patience. After a connection that moved nothing the
//     next attempt dials, and waits longer: the store may be slow. What is not passing returns
//     at once. Test errors with errors.Is and the Err values; *Error has the details.
//   - A conditional write whose answer was lost is recognised as our own when its
//     metadata carries posixattr.WriteIDKey: it succeeds, and is not taken for another
//     sandbox's.
//   - Of a body that changes while it is sent nothing is stored, as far as Put can see it;
//     PutOptions.Verify lets the caller look once more before the object is made.
//   - An upload in parts that fails is given up, unless the caller wants to continue it. One whose
//     first answer was lost stays: a lifecycle rule (AbortIncompleteMultipartUpload) is
//     what removes those.
//   - A 404 counts as "not there" only when S3 says so: what is not there is deleted here too.
//   - Rotated credentials are read again, early and when the server refuses the old
//     ones. A clock that is wrong is corrected by the server's Date.
//
// # Why not the SDK's client
//
// Small objects are bound by CPU. Of the 0.2 ms that a GET or PUT of 4 KiB through
// service/s3 takes, two thirds are its middleware; and PID 1 is the same binary, so what is
// linked is paid for in its memory. The protocol that is needed here is twelve requests
// and two XML documents (package protocol). The signature is the SDK's in the tests, where every request that
// is signed here is compared with it.
package objectstore
