// Package seccomp writes the profile of system calls that a sandbox's container gets.
//
// It begins with what container engines allow by default, as their own library has it, and
// differs in three ways:
//
//   - It does not widen with the container's capabilities. An engine reads them off the
//     container and, for SYS_ADMIN, adds namespaces, bpf, perf events and the new mount calls
//     to what every process in it may call. Here sandbox-init alone has SYS_ADMIN, for one
//     mount; the workload has nothing, so it gets none of those calls either.
//   - Some calls stay denied even if the library comes to allow them (never), and a socket is of
//     the few kinds that a program in a sandbox has a use for: what else a kernel loads a
//     module for is not reached.
//   - With Namespaces, for images with a browser, a process may make user, PID and network
//     namespaces and chroot(2) in them: Chromium confines its own processes so. Mount
//     namespaces stay denied, and without one no mount is possible in a user namespace
//     (mount_namespaces(7)).
//
// What is denied fails with EPERM, but clone3 with ENOSYS: its flags are behind a pointer,
// where no filter sees them, and libraries then call clone instead.
//
// The container has this profile from its first process on, sandbox-init included, and
// each session that is exec'd into it has it as well.
package seccomp
