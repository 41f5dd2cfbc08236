package contract

// Forwarding is how the host of a sandbox reaches a server inside it, with or without a
// network. The storage process listens on EnvForwardSocket, a socket in the host's directory
// of sockets, which only root may enter in the container and only the operator on the host. A
// connection begins with an HTTP request,
//
//	CONNECT localhost:PORT HTTP/1.1
//
// and after a status of 200 it is a connection to that port of the container's loopback.
// Any other status refuses it, and the body says why in a sentence. What is named
// but localhost is refused.
const (
	ForwardHost        = "localhost"
	ForwardConnections = 128 // at a time; further ones wait

	HostForwardSocketName = "forward.sock" // in the host's directory of sockets
)
