package seccomp

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Needs says what is allowed besides what every sandbox may call.
type Needs struct {
	Mount      bool // mount and umount2, for sandbox-init's mount of the cold path
	Namespaces bool // user, PID and network namespaces, for a browser's own sandbox
}

// Profile is the profile in the form that an engine takes as --security-opt seccomp.
func Profile(n Needs) (string, error) {
	p := seccomp.DefaultProfile()
	var rules []*seccomp.Syscall
	for _, r := range p.Syscalls {
		if r = without(r, n); r != nil {
			rules = append(rules, r)
		}
	}
	rules = append(rules, sockets()...)
	rules = append(rules, noSocketcall())
	if n.Mount {
		rules = append(rules, allow("mount", "umount2"))
	}
	if n.Namespaces {
		rules = append(rules, namespaces()...)
	}
	p.Syscalls = rules
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("cannot write the seccomp profile: %w", err)
	}
	return string(b), nil
}

// without takes from a rule of the library what this package decides itself; nil when
// nothing is left of it.
func without(r *seccomp.Syscall, n Needs) *seccomp.Syscall {
	if r.Includes != nil && len(r.Includes.Caps) > 0 {
		return nil // for containers with a capability that no workload here has
	}
	if r.Excludes != nil {
		r.Excludes.Caps = nil // for those without it: these
	}
	r.Names = slices.DeleteFunc(r.Names, func(name string) bool {
		return slices.Contains(never, name) || name == "socket" || name == "socketpair" ||
			n.Namespaces && name == "clone" && len(r.Args) > 0
	})
	if len(r.Names) == 0 {
		return nil
	}
	return r
}

// never are calls that no agent has a use for, and that kernels have been broken by. The
// library allows modify_ldt and socketcall; the others it has allowed in the past, allows with
// a capability, or does not allow: a later version of it must not bring them back.
var never = []string{
	"add_key", "keyctl", "request_key", // key rings are not in a namespace
	"bpf", "perf_event_open", "userfaultfd", "kcmp", "pidfd_getfd", "lookup_dcookie",
	"io_uring_setup", "io_uring_enter", "io_uring_register", // what they do, no filter sees
	"modify_ldt", // 16-bit programs
	"socketcall", // see noSocketcall
	"open_by_handle_at",
	"setns", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "open_tree", "mount_setattr", "pivot_root",
	"swapon", "swapoff", "quotactl", "quotactl_fd", "acct", "syslog", "vhangup", "nfsservctl",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
	"iopl", "ioperm", "settimeofday", "stime", "clock_settime", "clock_settime64", "sethostname", "setdomainname",
}

// sockets are local ones, TCP and UDP (and ICMP as ping uses it), and of netlink what tells
// a program about interfaces and sockets. In a network namespace of its own a process has
// every capability over it: raw sockets and netfilter stay closed to it all the same.
//
// A type alone names no protocol: SCTP, MPTCP and SMC are streams, UDP-Lite and L2TP
// datagrams, and the kernel loads a module for each. socketpair makes sockets of any family
// before it says that the family has no pairs.
func sockets() []*seccomp.Syscall {
	const (
		domain, kind, protocol = 0, 1, 2
		kinds                  = 0xf // SOCK_TYPE_MASK in linux/net.h; flags are above
	)
	socket := func(args ...specs.LinuxSeccompArg) *seccomp.Syscall {
		r := allow("socket")
		r.Args = args
		return r
	}
	pairs := allow("socketpair")
	pairs.Args = []specs.LinuxSeccompArg{equal(domain, unix.AF_UNIX)}
	rules := []*seccomp.Syscall{pairs, socket(equal(domain, unix.AF_UNIX))}
	for _, s := range []struct{ family, kind, protocol uint64 }{
		{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_IP}, // the type's own protocol
		{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP},
		{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_IP},
		{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP},
		{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP},
		{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_IP},
		{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP},
		{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_IP},
		{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP},
		{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6},
	} {
		rules = append(rules, socket(equal(domain, s.family), masked(kind, kinds, s.kind), equal(protocol, s.protocol)))
	}
	for _, p := range []uint64{unix.NETLINK_ROUTE, unix.NETLINK_INET_DIAG, unix.NETLINK_KOBJECT_UEVENT} {
		rules = append(rules, socket(equal(domain, unix.AF_NETLINK), equal(protocol, p)))
	}
	return rules
}

// noSocketcall denies 32-bit programs, and 64-bit ones by int 0x80, the call whose arguments are behind a
// pointer. It is not enough to leave it out: libseccomp makes of each rule on socket(2) one on socketcall
// too, of which only the arguments before the type are left, and so allows every socket. A rule without
// arguments goes before those. Its error is not the default's, since libseccomp drops a rule that says no more
// than the default; ENOSYS has a C library use socket(2).
func noSocketcall() *seccomp.Syscall {
	errno := uint(unix.ENOSYS)
	r := allow("socketcall")
	r.Action, r.ErrnoRet = specs.ActErrno, &errno
	return r
}

// namespaces are what Chromium's sandbox is made of: user, PID and network namespaces,
// and an empty root directory.
func namespaces() []*seccomp.Syscall {
	const others = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	clone, unshare := allow("clone"), allow("unshare")
	clone.Args = []specs.LinuxSeccompArg{masked(0, others, 0)}
	clone.Excludes = &seccomp.Filter{Arches: []string{"s390", "s390x"}} // they have the flags elsewhere
	// clone has no time namespaces: that bit is the exit signal's.
	unshare.Args = []specs.LinuxSeccompArg{masked(0, others|unix.CLONE_NEWTIME, 0)}
	return []*seccomp.Syscall{clone, unshare, allow("chroot")}
}

func allow(names ...string) *seccomp.Syscall {
	return &seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{Names: names, Action: specs.ActAllow}}
}

func equal(index uint, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: value, Op: specs.OpEqualTo}
}

// masked compares what the mask leaves of an argument.
func masked(index uint, mask, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: mask, ValueTwo: value, Op: specs.OpMaskedEqual}
}
