// Package stores is the matrix of S3 servers: one suite, run with sandbox-init itself against each
// server, and for each server what is expected of it. `make stores` runs it and writes
// docs/stores.md. A result that is not the expected one is a failure, a better one too: the
// document is to be true.
//
//	make stores                          versitygw, Go modules that it builds, and radosgw and Swift in a tree of Debian packages
//	STORE_ENDPOINT=http://127.0.0.1:9000 STORE_ACCESS_KEY=... STORE_SECRET_KEY=... make stores STORES=other
//
// sandbox-init runs as UID 1000, without a container: what differs between stores is storage's.
package stores
