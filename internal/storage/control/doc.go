// Package control is the control socket: its server in the storage process, its client, and
// the commands of sandbox-init that people and health checks call.
//
// The socket is contract.ControlSocketName in the run directory, mode 0666: the workload may
// ask for the status, for a checkpoint and for files of the cold path, which are its own, so there is nothing to
// authenticate. What it may not do is starve the others: connections are counted by user,
// and root keeps places of its own. Lists, which may go through a million objects, are fewer still, end with
// their client, and give way to the drain and the flush: what is to be saved never waits for a list.
//
// Status is put together from two sources, since each can be had without the other: PID 1's
// state.json, a file, and the storage process's answer on the socket.
package control
