package access

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Shares are limits that the kernel counts for each user of the machine, not for each container: the
// agents of all sandboxes are UID 1000, so that one of them can take all there is. No
// resource limit of a process bounds them, since a process's limit is compared with the sum
// of its user's.
type Shares struct {
	InotifyInstances int64 `json:"inotify_instances,omitempty"`
	InotifyWatches   int64 `json:"inotify_watches,omitempty"`
}

// Below these, a few editors or file watchers in one sandbox are felt in the others. Many
// distributions' defaults are lower.
const (
	enoughInstances = 8192
	enoughWatches   = 524288
)

// ReadShares reads this machine's below /proc/sys; 0: not known.
func ReadShares(root string) Shares {
	return Shares{
		InotifyInstances: sysctl(root, "fs/inotify/max_user_instances"),
		InotifyWatches:   sysctl(root, "fs/inotify/max_user_watches"),
	}
}

func sysctl(root, name string) int64 {
	text, err := os.ReadFile(root + "/" + name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Low names those that are too low for several sandboxes, as sysctl(8) sets them; "" for none.
func (s Shares) Low() string {
	var low []string
	for _, l := range []struct {
		name         string
		have, enough int64
	}{
		{"fs.inotify.max_user_instances", s.InotifyInstances, enoughInstances},
		{"fs.inotify.max_user_watches", s.InotifyWatches, enoughWatches},
	} {
		if l.have != 0 && l.have < l.enough {
			low = append(low, fmt.Sprintf("%s=%d (set %d)", l.name, l.have, l.enough))
		}
	}
	return strings.Join(low, ", ")
}
