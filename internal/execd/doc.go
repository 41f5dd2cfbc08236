// Package execd is a sandbox's exec server: what runs processes, files and ports in the sandbox for its host, by
// the agent's own rights. PID 1 starts it where contract.EnvExecSocket is set; package execapi says how it is
// spoken to.
//
// What it promises:
//
//   - It can do nothing that the agent could not: it is UID 1000, has no capability, and the kernel decides
//     what it may open, execute and signal. It makes no check of paths, since there is nothing to escape.
//   - An exec has exactly one Final. It follows all output that was written before the exec's process ended.
//   - A slow reader slows the process that writes, and nothing else, and has all of its output; the end does not wait
//     for one that has stalled. Without a reader a process is never held up: the oldest output goes, and a reader
//     that comes later is told which.
//   - A timeout or a removal ends every descendant, double forks included, but one that has left its session and passes
//     itself off as another exec's; see descendants.
//   - No client and no process makes it take memory without bound: execs, output, standard input under way,
//     connections, requests and frames have bounds.
//   - Clients that neither read nor send, up to mostTransfers of them, hold up no other's content.
//   - It is killed at any instant: PID 1 starts another, which knows the execs of the one before from the
//     records and reports them lost.
//
// It is a child subreaper, so that orphans of its execs become its children, and the one that reaps them.
// Its threads are made at boot and what blocks is bounded (internal/threads), since a fork bomb can use up the
// container's process limit.
package execd
