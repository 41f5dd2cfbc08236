// Package protocol is the part of S3's protocol that needs no connection: addresses, signatures,
// checksums, the XML of answers, and the form of a refusal. Its functions keep no state but a
// derived signing key, and send nothing.
package protocol
