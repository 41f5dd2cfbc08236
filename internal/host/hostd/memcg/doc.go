// Package memcg divides the memory of a sandbox: its processes but PID 1 and storage go into a
// child of the container's memory cgroup, whose limit is below the container's.
//
// The invariant: no use of memory by the workload, files in memory included, ends PID 1 or the
// storage process: they live and have the rest of the container's limit to save the home. Files of a tmpfs are charged to the cgroup
// that wrote them and outlive every process that the kernel ends, so that an order among the
// processes is not enough; a limit of the workload's own is. Only that cgroup's
// processes are chosen from when it is full.
//
// What holds it: a process is born into its parent's cgroup, so that the workload is there as a whole when its first
// processes are. PID 1 holds each process that it starts for the workload (hooks, the command, the exec server) between
// fork and exec until Move has moved it, and a session that the engine execs into the container as sandbox-init waits in the
// same way. None of the workload's programs has run by then, and no descendant of theirs is ever elsewhere.
//
// The engine's exec of any other program is announced by nothing. Sweep finds what it has started beside PID 1, and has to be
// called again and again. What such a program takes before that is charged beside PID 1.
//
// It takes root on the engine's machine. The processes of the child cgroup also get a
// higher oom_score_adj, and with SYS_RESOURCE a floor under it, so that the order within the container
// holds as well.
package memcg
