// Package s3grammar says which keys and which query parameters of the S3 API have a form
// that no store can take for anything else.
//
// To S3 a key and a parameter are opaque text. A store that keeps objects as files joins
// them to paths: an upload ID "../../../users/OTHER/hot" is then a directory of another
// user. The gateway of a sandbox and the embedded server both admit requests by this
// package, so that neither relies on the other.
//
// A parameter without a grammar is refused. The list is what S3 documents and what the
// embedded server understands; a parameter that S3 gains tomorrow needs an entry first.
package s3grammar
