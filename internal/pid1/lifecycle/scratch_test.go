package lifecycle

import (
	"slices"
	"testing"
)

func TestOwnTmpfs(t *testing.T) {
	const mountinfo = `
606 590 0:55 / / ro,relatime - overlay overlay rw,lowerdir=/x
618 610 0:67 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=1048576k
619 606 0:68 / /tmp rw,nosuid,nodev,relatime - tmpfs tmpfs rw,size=524288k
620 606 254:0 /var/lib/x /var/tmp rw,relatime master:1 - ext4 /dev/vda rw
621 606 0:70 / /home rw - tmpfs tmpfs rw
broken - tmpfs
622 606 0:71 / /a rw,relatime shared:12 master:1 - tmpfs tmpfs rw
623 606 0:72 / /b rw,relatime master:1 - tmpfs tmpfs rw
`
	got := ownTmpfs(mountinfo, []string{"/tmp", "/var/tmp", "/dev/shm", "/a", "/b", "/c"})
	if !slices.Equal(got, []string{"/dev/shm", "/tmp", "/b"}) {
		t.Errorf("found %v", got)
	}
}
