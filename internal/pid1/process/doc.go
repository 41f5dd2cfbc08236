// Package process is what PID 1 knows of processes: it starts them, reaps them,
// hands them signals and the terminal, and stops every one that is left.
//
// Its rules:
//
//   - One owner of wait4. Reaper alone waits; os/exec and os.Process.Wait are never
//     used here, since wait4(-1) takes their statuses and they take ours. A child is
//     registered under the lock that reaping takes, so that no status is lost however
//     soon it comes.
//   - A thread is made at boot or never. The Go runtime aborts the process when the
//     kernel refuses it a thread, and a fork bomb in the container's process limit is
//     just such a refusal. See internal/threads.
//   - What a child must inherit (no_new_privs, the bounding set, the signal mask) is
//     an attribute of the thread that forks. Each kind of child is therefore forked by
//     a Spawner, a thread of its own that nothing else runs on.
//   - Nothing is killed by a number that may be another's by now: our own children
//     are signalled under the reaper's lock, all others through pidfds.
package process
