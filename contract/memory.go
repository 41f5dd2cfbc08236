package contract

// A host that divides a sandbox's memory serves a socket (EnvMemorySocket) on which sandbox-init asks it to move a process
// that it holds between fork and exec into the workload's part. A client sends the process's number in
// the container, decimal, and a newline, and waits for an answer: MemoryMoved, or a line that says why not.
const MemoryMoved = "moved"
