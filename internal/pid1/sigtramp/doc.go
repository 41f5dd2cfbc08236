// Package sigtramp handles every signal of PID 1 in assembly. The handler writes the signal and its
// sender into a pipe and returns; signals that the Go runtime has raised itself, and faults of this
// program, it passes on to the runtime's own handler.
//
// Package os/signal would do for most, but an init has to forward the signals that it is sent, no
// more and no less, and os/signal does not name the sender of a signal. The runtime preempts its threads
// with SIGURG, which is then forwarded to a command that no process has signalled; SIGPROF and
// 34, which is SIGRTMIN, never arrive; several queued real-time signals become one; and to enable
// all of them costs 60 switches of threads, more than the rest of the start.
//
// # Assumptions
//
// The rules for handlers beside the runtime's are those of package os/signal, "Go programs that
// use cgo": run on the alternate stack, change no mask. Beyond them this package relies on the
// following, in runtime/signal_unix.go and runtime/os_linux.go of Go 1.26. Each has a test here,
// which a new version of Go must pass.
//
//   - The runtime has one handler for all signals, installed before main with SA_ONSTACK,
//     SA_SIGINFO and SA_RESTART, and with SA_RESTORER where the processor needs one. The handler
//     for SIGURG can therefore take any signal, and its flags suit any.
//   - The runtime signals its own threads with tgkill(2) alone: si_code is SI_TKILL and si_pid this
//     process. This process never sends itself a signal in this way.
//   - A fault of this program has a positive si_code, and one of the seven signals of faults.
//   - Signal 33 runs system calls on all threads (AllThreadsSyscall), and no other signal has a
//     meaning that is hidden from os/signal.
//   - The runtime installs no handler later: a program that has called Install does not use
//     os/signal.
//   - Between fork and exec, syscall.ForkExec keeps all signals blocked until it has put the
//     default action in the place of the runtime's handlers. SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU and 34
//     have no such handler and keep this one until execve(2) resets it: sent to the child in that
//     moment, they look as if they had been sent to the parent.
package sigtramp
