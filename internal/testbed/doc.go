// Package testbed is what the tests of all rooms stand on: an S3 server, a proxy that
// injects faults between it and the code that is tested, and trees of files that are hard to
// keep. It is imported by tests alone.
//
//	srv := testbed.S3(t)            // `sandbox s3` as a child process
//	b := srv.Bucket(t)              // a bucket of its own for each test
//	p := testbed.Proxy(t, srv)      // b.Config() with p.Endpoint goes through it
//	p.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: testbed.LoseAnswer(), Times: 1})
//
// What a test wants to know of S3 it asks Bucket, which uses the AWS SDK: an opinion of
// its own beside the code that is tested.
//
// The server is built by the go tool when it has to be. TESTBED_BIN=DIR names a directory in
// which it is built already.
//
// # What the embedded server cannot show
//
// It keeps objects as files. So it cannot hold a key and another one below it ("a" and
// "a/b"), a component of a key over 255 bytes, a key with a component "." or ".." or with "//", and
// a marker "dir/" with a body. It ignores the condition on the destination of a copy, lists
// names as XML and not URL-encoded, and is in one region. Tests of those use answers that
// are written out, and say so.
package testbed
