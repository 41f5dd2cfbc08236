// Package privilege decides with which rights everything in a sandbox runs.
//
// Started as root, the workload becomes UID and GID 1000 with no supplementary groups,
// an empty capability bounding set, no inheritable capabilities and no_new_privs, so
// that nothing that it executes gives it a right; the storage process stays UID 0
// with the three capabilities that writing another user's files takes. Started as UID
// 1000, there is nothing to drop and nothing to hide behind: isolation is "none".
//
// Bounding set, inheritable set and no_new_privs belong to threads and pass to what a
// thread forks. They are therefore set on the one thread that forks the workload
// (ConfineWorkload, run by process.Spawner) and not on this process, which still has to mount,
// to signal and to fork for other users.
package privilege
