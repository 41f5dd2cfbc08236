package wire

// What PID 1 and the exec server share: descriptors that the server inherits, and single bytes on one of them. The
// end of ExecdControl tells the server to end.
const (
	ExecdListener = 3 // the socket that the host connects to, which PID 1 has bound
	ExecdRecords  = 4 // a file without a name, which outlives each server: what the next one must know
	ExecdControl  = 5 // the reading end of a pipe

	ExecdReady byte = 'r' // the sandbox is ready: requests are answered
	ExecdDrain byte = 'd' // the sandbox stops: no exec is started any more
)
