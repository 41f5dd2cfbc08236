// Package gateway is the door between one sandbox and S3.
//
// It listens on a unix socket in a directory that is mounted into the container,
// speaks S3 with path-style addresses, and signs each request for the real store with
// credentials that never enter the container. The client's signature is
// dropped: the socket on which a request arrives decides what it may do.
//
// # What passes
//
// A Scope is one bucket and one prefix, S3_PREFIX + USER_ID + "/". Within it objects can be
// read, written, copied, deleted, listed by prefix, and uploaded in parts; the bucket
// can be asked whether it exists. See operations for the list. All else is refused
// with S3's own AccessDenied, so that a client reports it as it reports S3's.
//
// The list says what is allowed, never what is forbidden: an operation, a parameter
// or an x-amz header that S3 gains tomorrow is refused until it has an entry here.
//
// Each parameter has a grammar (package s3grammar), since a store that keeps objects as
// files joins an upload ID or a version to a path. The embedded server checks all of it
// again.
//
// # No second reading
//
// A request is never passed on as it came. Its path, its parameters and its copy
// source are decoded once, checked in that form, and encoded anew from it. So the store
// reads what was checked, however it treats repeated slashes, "%2e%2e", "+" or
// parameters given twice.
package gateway
