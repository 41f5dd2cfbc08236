// Package catalog knows the images: what each one is, which one it extends, what it
// can do, and under which limits it runs.
//
// An image is a folder images/NAME whose image.yaml says what the image is, in one
// place. From it come capabilities.json inside the image, the labels, the build graph and
// the choice of an image for a task. A Catalog is valid as a whole or not at all: Load
// reports every mistake in every file together.
//
// The package reads files and decides; it runs no engine and reaches no network.
package catalog
