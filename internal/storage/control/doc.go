// Package control is the control socket: its server in the storage process, its client, and
// the commands of sandbox-init that people and health checks call.
//
// The socket is contract.ControlSocketName in the run directory, mode 0666: the workload may
// ask for the status and for a checkpoint, and for nothing else, so there is nothing to
// authenticate. What it may not do is starve the others: connections are counted by user,
// and root keeps places of its own.
//
// Status is put together from two sources, since each can be had without the other: PID 1's
// state.json, a file, and the storage process's answer on the socket.
package control
