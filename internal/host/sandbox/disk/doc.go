// Package disk gives a sandbox a file system of its own, so that what fills it fills
// nothing but it: an image file of a fixed size, an ext4 in it, a loop device below it.
//
//	DIR/image       the file system, with all of its blocks set aside
//	DIR/at/         where it is mounted, while its sandbox needs it
//	DIR/at/home/    the sandbox's home
//	DIR/at/state/   and its state
//
// # Who sees it
//
// home and state are directories of the image and of nothing else: below the mount point
// there is an empty directory. An engine in another mount namespace, which does not see
// the mount, does not find them either and cannot make the container. So a sandbox that
// is believed to have a limit has it; it never writes to what lies below.
//
// # Who may fill it
//
// Some blocks are root's (see reserve): when the workload can write no more, the storage
// process still can, and saves what there is.
//
// # What it takes of the machine's disk
//
// All of its size, from the beginning. A sparse image would promise room that there may not be:
// a write that the file system has taken fails later, on its way to the disk, when
// no program waits for it any more. So a program that asks for more than there is hears of it before anything begins.
//
// # How long it lasts
//
// The device clears itself with the last mount (LO_FLAGS_AUTOCLEAR), so that a program
// that is killed between any two steps leaves a file, or a mount that Remove takes away, and
// never a device. What survives a reboot is the image, which Mount mounts again. The file system
// has a journal for that: what a sandbox could not save must be found after a power cut.
//
// The functions are to be called by one program at a time: by who holds the lock of the
// sandbox. Usage may be called by anyone.
package disk
