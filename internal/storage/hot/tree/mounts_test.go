package tree

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMountsBelow(t *testing.T) {
	const info = `22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw
36 28 8:1 /vol /home/agent rw - ext4 /dev/sda1 rw
37 36 0:40 / /home/agent/.config/app ro - tmpfs tmpfs ro
38 36 8:1 /x /home/agent/with\040blank\134and\011tab rw - ext4 /dev/sda1 rw
39 36 0:41 / /home/agent/.config/app rw - tmpfs tmpfs rw
40 28 0:42 / /home/agent2 rw - tmpfs tmpfs rw
41 36 0:43 / /home/agent/\0 rw - tmpfs tmpfs rw
short line
`
	want := []string{".config/app", `\0`, "with blank\\and\ttab"}
	if got := mountsBelow("/home/agent", info); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := mountsBelow("/", "1 2 0:1 / / rw\n1 2 0:1 / /proc rw\n"); !slices.Equal(got, []string{"proc"}) {
		t.Errorf("below the root: %q", got)
	}
}

func TestMounts(t *testing.T) {
	r := open(t)
	must(t, os.MkdirAll(r.at("a/b c"), 0o755))
	write(t, r.at("file"), "x")
	if m, err := r.Mounts(); err != nil || len(m) != 0 {
		t.Fatalf("%q, %v", m, err)
	}
	must(t, unix.Mount("tmpfs", r.at("a/b c"), "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(r.at("a/b c"), unix.MNT_DETACH) })
	must(t, unix.Mount(r.at("file"), r.at("file"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(r.at("file"), unix.MNT_DETACH) })
	if m, err := r.Mounts(); err != nil || !slices.Equal(m, []string{"a/b c", "file"}) {
		t.Errorf("%q, %v", m, err)
	}
}
