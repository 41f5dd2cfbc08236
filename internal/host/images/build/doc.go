// Package build builds the images of a checkout with docker buildx: parents first,
// independent ones side by side, and those whose inputs have not changed not at all.
//
// Every image carries a tag made from the digest of all its inputs (package recipe). When
// an engine has that tag, the image is what a build would make, and only its names are set.
// An image gets its tag after the build, and only when its inputs are still those that the
// tag stands for: an edit during the build fails it, with the advice to build again.
//
// The engine may be as old as docker 20.10 with Debian's buildx plugin, so the arguments of
// buildx are those that its BuildKit knows. No image is built for another architecture than
// the engine's: emulated builds are slow and fail in ways of their own.
package build
