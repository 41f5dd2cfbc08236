package seccomp

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// rules gives a profile's rules on a call.
func rules(t *testing.T, n Needs, call string) (found []*seccomp.Syscall) {
	t.Helper()
	for _, r := range read(t, n).Syscalls {
		if slices.Contains(r.Names, call) {
			found = append(found, r)
		}
	}
	return found
}

func read(t *testing.T, n Needs) seccomp.Seccomp {
	t.Helper()
	text, err := Profile(n)
	if err != nil {
		t.Fatal(err)
	}
	var p seccomp.Seccomp
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

var every = []Needs{{}, {Mount: true}, {Namespaces: true}, {Mount: true, Namespaces: true}}

// The profile denies each call that it does not name, with any capabilities of the container.
func TestCapabilitiesWidenNothing(t *testing.T) {
	for _, n := range every {
		p := read(t, n)
		if p.DefaultAction != specs.ActErrno || len(p.ArchMap) == 0 {
			t.Errorf("%+v: what is not named is %s, on %v", n, p.DefaultAction, p.ArchMap)
		}
		for _, r := range p.Syscalls {
			if r.Includes != nil && len(r.Includes.Caps) > 0 || r.Excludes != nil && len(r.Excludes.Caps) > 0 {
				t.Errorf("%+v: %v depends on capabilities", n, r.Names)
			}
			for _, name := range r.Names {
				if slices.Contains(never, name) && r.Action == specs.ActAllow {
					t.Errorf("%+v: %s is allowed", n, name)
				}
			}
		}
	}
}

func TestNeeds(t *testing.T) {
	for _, n := range every {
		for call, want := range map[string]bool{
			"read": true, "ptrace": true, "seccomp": true, "prctl": true, "vfork": true,
			"mount": n.Mount, "umount2": n.Mount, "unshare": n.Namespaces, "chroot": n.Namespaces,
		} {
			if got := len(rules(t, n, call)) > 0; got != want {
				t.Errorf("%+v: %s is allowed: %t", n, call, got)
			}
		}
		if c := rules(t, n, "clone3"); len(c) != 1 || c[0].Action != specs.ActErrno || c[0].ErrnoRet == nil || *c[0].ErrnoRet != 38 {
			t.Errorf("%+v: clone3 is not taken for unknown: %+v", n, c)
		}
		// Without a rule of its own libseccomp allows it with every rule on socket.
		if c := rules(t, n, "socketcall"); len(c) != 1 || c[0].Action != specs.ActErrno || c[0].ErrnoRet == nil || *c[0].ErrnoRet != 38 || len(c[0].Args) != 0 {
			t.Errorf("%+v: socketcall is not denied by a rule: %+v", n, c)
		}
	}
}

// What flags of clone and unshare pass: the bits that a rule looks at must all be unset.
func TestNamespaces(t *testing.T) {
	const mount, cgroup, uts, ipc, user, pid, net, clock = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x80
	passes := func(n Needs, call string, flags uint64) bool {
		return slices.ContainsFunc(rules(t, n, call), func(r *seccomp.Syscall) bool {
			if r.Includes != nil && len(r.Includes.Arches) > 0 { // s390's order of arguments
				return false
			}
			return r.Action == specs.ActAllow && (len(r.Args) == 0 ||
				len(r.Args) == 1 && r.Args[0].Index == 0 && r.Args[0].Op == specs.OpMaskedEqual && flags&r.Args[0].Value == r.Args[0].ValueTwo)
		})
	}
	const sigchld = 17
	for _, n := range every {
		for flags, want := range map[uint64]bool{
			0: true, user: n.Namespaces, user | pid | net: n.Namespaces,
			mount: false, user | mount: false, user | cgroup: false, user | uts: false, user | ipc: false,
		} {
			if got := passes(n, "clone", flags|sigchld); got != want {
				t.Errorf("%+v: clone with %#x passes: %t", n, flags, got)
			}
			if got := passes(n, "unshare", flags); got != want && (flags != 0 || n.Namespaces) {
				t.Errorf("%+v: unshare with %#x passes: %t", n, flags, got)
			}
		}
		if passes(n, "unshare", user|clock) {
			t.Errorf("%+v: a time namespace passes", n)
		}
	}
}

// passes says whether a profile lets a call with these arguments through.
func passes(t *testing.T, n Needs, call string, args [3]uint64) bool {
	t.Helper()
	return slices.ContainsFunc(rules(t, n, call), func(r *seccomp.Syscall) bool {
		for _, a := range r.Args {
			v := args[a.Index]
			if a.Op == specs.OpEqualTo && v != a.Value || a.Op == specs.OpMaskedEqual && v&a.Value != a.ValueTwo {
				return false
			}
		}
		return len(r.Args) > 0
	})
}

func TestSockets(t *testing.T) {
	// domain, type, protocol: include/linux/socket.h, net.h, uapi/linux/in.h, netlink.h
	const cloexec = 0o2000000
	for _, n := range every {
		for socket, want := range map[[3]uint64]bool{
			{1, 1, 0}: true, {1, 5, 0}: true, {2, 1, 0}: true, {2, 1 | cloexec, 6}: true, {2, 2 | cloexec, 0}: true, {2, 2, 1}: true, {2, 2, 17}: true,
			{10, 1, 0}: true, {10, 1, 6}: true, {10, 2, 17}: true, {10, 2, 58}: true, {16, 3, 0}: true,
			{2, 3, 1}: false, {2, 3 | cloexec, 255}: false, {10, 3, 58}: false, {2, 5, 132}: false, {16, 3, 12}: false, {16, 3, 6}: false,
			{17, 3, 0}: false, {38, 5, 0}: false, {40, 1, 0}: false, {29, 3, 1}: false, {15, 3, 2}: false, {43, 1, 0}: false, {30, 1, 0}: false,
			// SCTP, MPTCP, SMC, UDP-Lite, L2TP and DCCP.
			{2, 1, 132}: false, {10, 1, 132}: false, {2, 1, 262}: false, {10, 1, 262}: false, {2, 1, 256}: false, {10, 1, 256}: false,
			{2, 2, 136}: false, {10, 2, 136}: false, {2, 2, 115}: false, {10, 2, 115}: false, {2, 6, 33}: false, {2, 2, 58}: false,
		} {
			if got := passes(t, n, "socket", socket); got != want {
				t.Errorf("%+v: the socket %v is allowed: %t", n, socket, got)
			}
			if got := passes(t, n, "socketpair", socket); got != (socket[0] == 1) {
				t.Errorf("%+v: a pair of the socket %v is allowed: %t", n, socket, got)
			}
		}
	}
}
