// Package sbom lists what is in an image, as an SPDX 2.3 document: Debian packages from
// dpkg's database, Python's from their .dist-info, npm's from their package.json, and the
// modules of Go programs from what the compiler wrote into them.
//
// It reads the image's layers and runs nothing of it. The same image gives the same bytes,
// so the list can be made again from the image, and compared.
package sbom
