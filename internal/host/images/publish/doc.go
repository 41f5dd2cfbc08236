// Package publish puts images into a registry, takes them from there, and proves that what
// lies there is whole.
//
// A push writes, for one platform, the image with its configuration byte for byte as the
// engine has it (so that its ID is the same here and there), OCI annotations from its
// labels, and the list of its contents (SPDX) as an artifact that refers to it. The tag of
// a platform is VERSION-ARCH; VERSION itself is an index of those platforms' images that
// were published from the same commit, so that one name never stands for two states of the
// sources. Machines of both architectures may push at the same time.
package publish
