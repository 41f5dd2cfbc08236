package memcg

import "testing"

const (
	v1 = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	v2     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	nested = "35 31 0:32 /outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)

func TestCgroupOfProcess(t *testing.T) {
	for _, tc := range []struct{ name, mounts, procs, want string }{
		{"v1", v1, "9:name=systemd:/x\n4:memory:/docker/abc\n0::/\n", "/sys/fs/cgroup/memory/docker/abc"},
		{"v1 beside others", "35 31 0:32 / /m rw - cgroup cgroup rw,cpuset,memory\n", "4:cpuset,memory:/docker/abc\n", "/m/docker/abc"},
		{"v2", v2, "0::/system.slice/docker-abc.scope\n", "/sys/fs/cgroup/system.slice/docker-abc.scope"},
		{"below what is mounted", nested, "4:memory:/outer/docker/abc\n", "/sys/fs/cgroup/memory/docker/abc"},
		{"not below what is mounted", nested, "4:memory:/other/docker/abc\n", ""},
		{"a name with colons", v2, "0::/a:b:c\n", "/sys/fs/cgroup/a:b:c"},
		{"none", "30 23 0:26 / / rw - ext4 /dev/sda rw\n", "0::/x\n", ""},
	} {
		h, err := findHierarchy(tc.mounts)
		got := ""
		if err == nil {
			got, err = h.of(tc.procs)
		}
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}
