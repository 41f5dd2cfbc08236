// Package recipe says what each image of the family is made of, and so what a change
// rebuilds and whether an image is what it would be built as now.
//
// A Recipe is read from a Dockerfile: its instructions, the files of the repository that
// they read, the images that they begin with or copy from, and whether sandbox-init is
// among the files. From the same recipes come two answers that must agree:
//
//   - Digests: one digest of all inputs of an image, its parents' included. An image that
//     carries the digest in a tag need not be built again.
//   - Plan: which images a list of changed paths rebuilds, why, and in which order.
//
// The package reads files; its callers know git, Go and the engine.
package recipe
