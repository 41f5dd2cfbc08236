# What a sandbox's container is confined by where the kernel has AppArmor and the cold path
# is mounted. Engines' own profile denies every mount; this one allows that of a FUSE file
# system of our type, and no other. The name gets a digest of this text: see doc.go.

# The features that the rules are compiled for, whatever the parser and the kernel have.
# What is not among them is not mediated: user namespaces, which are seccomp's to judge.
abi <abi/3.0>,

include <tunables/global>

profile matrx-sandbox flags=(attach_disconnected, mediate_deleted) {
  include <abstractions/base>

  # Bounded elsewhere: by modes and a read-only root, by network namespaces and seccomp, by
  # the bounding set.
  file,
  network,
  capability,

  # sandbox-init mounts the cold path, wherever COLD_PATH says, and takes it away again.
  mount fstype=fuse.sandbox options=(rw, nosuid, nodev) -> /**,
  umount,

  # The engine and its runtime end a sandbox, and so does whoever is not confined.
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (receive) peer=dockerd,
  signal (receive) peer=docker-dockerd,
  # Inside, a process may signal and debug its own kind.
  signal (send, receive) peer=matrx-sandbox,
  ptrace (trace, read, tracedby, readby) peer=matrx-sandbox,

  # What is the kernel's and not a process's own (/proc/self is a link to a number) is not
  # written, not even by root, and some of it not read.
  deny @{PROC}/[^0-9]** wkl,
  deny @{PROC}/{kcore,kmem,sysrq-trigger} r,
  deny /sys/** wkl,
  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** r,
}
