// Package contract says what every sandbox image promises and what the two
// sides of a container agree on: names of variables, paths, exit codes, and the
// types of the control socket.
//
// It imports no room: the rooms that run in the container and those that run on the
// host both import it and never each other. It may import the standard library
// and a YAML reader, and nothing else.
//
// Everything exported here is a promise. A name that has been released is not
// changed or removed without a new major version of the contract.
package contract
