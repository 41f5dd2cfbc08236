// Package layers reads what lies in an image's layers, without running it: entry by entry,
// as the layers together show it, and how two stacks of layers differ. It reads images of
// go-containerregistry, so an engine's export, a registry and a test's own image are alike.
//
// A layer is a tar archive of changes (OCI Image Format Specification, "Image Layer
// Filesystem Changeset"): a file .wh.NAME takes NAME away, .wh..wh..opq in a folder takes
// away all that was in it.
package layers
