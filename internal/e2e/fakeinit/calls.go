package main

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// calls makes system calls with arguments that the kernel itself refuses in another way, so
// that EPERM, to root with SYS_ADMIN, is a filter's.
func calls() {
	for name, number := range map[string]uintptr{
		"add_key": unix.SYS_ADD_KEY, "keyctl": unix.SYS_KEYCTL, "request_key": unix.SYS_REQUEST_KEY,
		"bpf": unix.SYS_BPF, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "userfaultfd": unix.SYS_USERFAULTFD,
		"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER,
		"setns": unix.SYS_SETNS, "fsopen": unix.SYS_FSOPEN, "open_tree": unix.SYS_OPEN_TREE, "mount_setattr": unix.SYS_MOUNT_SETATTR,
		"mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "chroot": unix.SYS_CHROOT,
		"clone3": unix.SYS_CLONE3, "ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV, "seccomp": unix.SYS_SECCOMP,
	} {
		// No pointer is valid, no file is open, no operation and no process has that number.
		const no = ^uintptr(0) >> 1
		_, _, err := unix.Syscall6(number, no, no, no, no, no, no)
		said(name, err)
	}
	for name, flags := range map[string]uintptr{
		"user": unix.CLONE_NEWUSER, "user+pid+net": unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		"user+mount": unix.CLONE_NEWUSER | unix.CLONE_NEWNS, "user+uts": unix.CLONE_NEWUSER | unix.CLONE_NEWUTS,
		"user+ipc": unix.CLONE_NEWUSER | unix.CLONE_NEWIPC, "user+cgroup": unix.CLONE_NEWUSER | unix.CLONE_NEWCGROUP,
	} {
		cmd := exec.Command("/fakeinit", "do", "true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		said("clone "+name, errno(cmd.Run()))
	}
	for name, s := range map[string][3]int{
		"unix": {unix.AF_UNIX, unix.SOCK_STREAM, 0}, "tcp": {unix.AF_INET, unix.SOCK_STREAM, 0}, "udp6": {unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0},
		"route": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, "netfilter": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
		"raw": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, "sctp": {unix.AF_INET, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP},
		"packet": {unix.AF_PACKET, unix.SOCK_RAW, 0}, "vsock": {unix.AF_VSOCK, unix.SOCK_STREAM, 0}, "alg": {unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		"can": {unix.AF_CAN, unix.SOCK_RAW, 1}, "bluetooth": {unix.AF_BLUETOOTH, unix.SOCK_RAW, 1}, "key": {unix.AF_KEY, unix.SOCK_RAW, 2},
		// A type that passes, with another protocol than its own.
		"tcp by name": {unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP}, "udp by name": {unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP},
		"sctp stream": {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, "mptcp": {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP},
		"smc": {unix.AF_INET6, unix.SOCK_STREAM, 256}, "udplite": {unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE}, "l2tp": {unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_L2TP},
	} {
		fd, err := unix.Socket(s[0], s[1], s[2])
		if err == nil {
			unix.Close(fd)
		}
		said("socket "+name, errno(err))
	}
	for name, family := range map[string]int{"unix": unix.AF_UNIX, "tcp": unix.AF_INET, "tipc": unix.AF_TIPC} {
		pair, err := unix.Socketpair(family, unix.SOCK_STREAM, 0)
		if err == nil {
			unix.Close(pair[0])
			unix.Close(pair[1])
		}
		said("socketpair "+name, errno(err))
	}
	slices.Sort(denied)
	fmt.Println(strings.Join(denied, "\n"))
}

// denied are those whose answer is a filter's: not allowed, or not there.
var denied []string

func said(name string, err error) {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		denied = append(denied, name)
	}
}

// errno is the kernel's part of an error, nil of none.
func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}
