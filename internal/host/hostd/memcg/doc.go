// Package memcg divides the memory of a sandbox: its processes but PID 1 and storage go into a
// child of the container's memory cgroup, whose limit is below the container's.
//
// The invariant: no use of memory by the workload, files in memory included, ends PID 1 or the
// storage process: they live and have the rest of the container's limit to save the home. Files of a tmpfs are charged to the cgroup
// that wrote them and outlive every process that the kernel ends, so that an order among the
// processes is not enough; a limit of the workload's own is. Only that cgroup's
// processes are chosen from when it is full.
//
// It takes root on the engine's machine. The processes of the child cgroup also get a
// higher oom_score_adj, and with SYS_RESOURCE a floor under it, so that the order within the container
// holds as well.
//
// The kernel announces no process that joins a cgroup. Children are born where their parent is, so
// that only what PID 1 starts and what is exec'd into the container is ever found beside PID 1;
// Sweep has to be called again and again for that.
package memcg
