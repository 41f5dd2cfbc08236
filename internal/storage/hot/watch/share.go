package watch

import (
	"math"
	"os"
	"strconv"
	"strings"
)

// shareOf is the part of the kernel's watches that one sandbox takes. The kernel counts them for each user of the
// host (inotify(7), fs.inotify.max_user_watches), and all sandboxes are the same user there, as are the programs by which
// the engine starts containers: the home that had the most directories would leave none to the others.
const shareOf = 16

// Share is how many directories one sandbox watches at most. The others are found by scanning.
func Share() int {
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		return math.MaxInt // the kernel refuses what is too many
	}
	return shareIn(string(limit))
}

func shareIn(limit string) int {
	n, err := strconv.Atoi(strings.TrimSpace(limit))
	if err != nil {
		return math.MaxInt
	}
	return n / shareOf
}
