// Package register reads what an image says of itself, without running it, so that it can
// go into the user's catalog: its manifest, its labels and its digest, from the engine or
// straight from a registry.
//
// What an image says is checked against the contract's schema. It is still only said: the
// suite proves it.
package register
