package storage

import (
	"testing"
	"testing/fstest"
)

func TestCgroupMemory(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no cgroups", nil, 0},
		{"v2 in a container", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		{"v2 without a limit", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"v2 nested, the parent's is less", map[string]string{
			"proc/self/cgroup":                       "0::/pod/container\n",
			"sys/fs/cgroup/pod/memory.max":           "1000\n",
			"sys/fs/cgroup/pod/container/memory.max": "2000\n"}, 1000},
		{"v2 of the host, path not mounted here", map[string]string{
			"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/memory.max": "4000\n"}, 4000},
		{"v1 in a container", map[string]string{
			"proc/self/cgroup": "9:name=systemd:/docker/abc\n4:cpu,memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000\n"}, 3000},
		{"v1 without a limit", map[string]string{
			"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"garbage", map[string]string{"proc/self/cgroup": "x\n0::../../..\n", "sys/fs/cgroup/memory.max": "-5\n"}, 0},
	} {
		root := fstest.MapFS{}
		for name, content := range test.files {
			root[name] = &fstest.MapFile{Data: []byte(content)}
		}
		if got := cgroupMemory(root); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
