package wire

// What PID 1 and the exec server share: descriptors that the server inherits, and single bytes on one of them. The
// end of ExecdControl tells the server to end.
const (
	ExecdListener = 3 // the socket that the host connects to, which PID 1 has bound
	ExecdRecords  = 4 // a file without a name, which outlives each server: what the next one must know
	ExecdControl  = 5 // the reading end of a pipe

	ExecdEnviron = 6 // a file without a name: the environment of execs, each with a NUL after it; complete from ExecdBound on

	ExecdBound byte = 'b' // the sandbox has its user: sent to a server that was started as ExecdUnbound
	ExecdReady byte = 'r' // the sandbox is ready: requests are answered
	ExecdDrain byte = 'd' // the sandbox stops: no exec is started any more

	// ExecdUnbound is a server's last argument while the sandbox is no user's: requests are refused.
	ExecdUnbound = "unbound"
)
