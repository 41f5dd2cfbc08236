// Package tree is the only way by which the storage process touches the home.
//
// The home belongs to the workload, which may replace any directory by a symbolic
// link at any moment, and what S3 holds was written by anyone. Therefore nothing
// here ever resolves a path of more than one component: every directory is opened
// below its parent with O_NOFOLLOW (openat(2)), starting at the descriptor of an
// os.Root, and every operation names one entry of one open directory. This is what
// os.Root itself does, minus the following of links that stay inside: a link in the
// place of a directory is refused (ENOTDIR), whether it stays in the home or not.
// os.Root cannot set the times of a symbolic link, exchange two names or read a
// directory without a stat an entry, so those are made here on the descriptors.
//
// Nor does anything here cross a mount point: a directory or a file that was reached by
// another mount than the home's is refused ([ErrMounted]), however recent the mount is.
//
// Paths are below the root, separated by slashes, without a leading one; the root is
// "". Bytes are taken as they are, in any encoding. Check says what a path
// may be; every function applies it.
//
// A file arrives whole or not at all: Create makes it under a temporary name in the
// directory where it will live, Commit gives it its attributes and its name. Commit
// never replaces anything, and Replace only what the caller has seen: what was
// changed meanwhile stays in its place (ErrChanged). Temporary names are this
// package's own (IsTemp); RemoveTemps clears those that an earlier process left.
//
// Files made here belong to the agent when the process is root, and to the process's
// own user otherwise. Setuid and setgid bits are never set.
package tree
