// Package lifecycle is PID 1's state machine:
//
//	boot [-> unbound] -> hydrate -> run -> drain -> flush -> exit
//
// One goroutine runs it from top to bottom: each state is a function that takes events
// from sandbox.next until it is over. What may block has a goroutine of its own (the
// reaper, the log, the reader of the storage process's messages, the drain), and their
// number is fixed, since each may need a thread and threads are made at boot
// (internal/threads).
//
// Its rules:
//
//   - A SIGTERM or SIGINT at any instant leads to a clean stop, and a second one ends
//     the drain, never the flush.
//   - Every wait has a deadline in CLOCK_BOOTTIME, which neither jumps nor stops while
//     the machine sleeps.
//   - The exit code is the workload's, unless that would hide that data is not safe.
//   - A sandbox that was started unbound is no user's until one message binds it, and then that user's for good, in
//     every restart of its container. Of any number of messages one counts, and none once a SIGTERM was taken; a refused one
//     changes nothing. Before the bind no process of an agent runs and home and state are empty, else it is
//     refused. From the bind on the sandbox goes the way of any other: begin, with the configuration that
//     package config makes of the message.
//   - What this process knows is in state.json at every instant, whether or not the
//     storage process lives.
package lifecycle
