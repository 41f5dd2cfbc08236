package contract

// Forwarding is how the host of a sandbox reaches a server inside it, with or without a
// network. A connection to the exec server (HostExecSocketName) begins with an HTTP request,
//
//	CONNECT localhost:PORT HTTP/1.1
//
// and after a status of 200 it is a connection to that port of the container's loopback.
// Any other status refuses it, and the body says why. What is named but localhost is refused.
//
// In images from before there was an exec server the storage process takes such connections, on
// ForwardSocketVariable, which this one does not read.
const (
	ForwardHost        = "localhost"
	ForwardConnections = 128 // at a time; further ones wait

	ForwardSocketVariable = "FORWARD_SOCKET"
	HostForwardSocketName = "forward.sock" // in the host's directory of sockets
)
