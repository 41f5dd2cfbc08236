package access

import "github.com/matrx/sandbox/internal/host/sandbox/datadir"

// scratchDirs is how many directories of the size of /tmp are in memory below a read-only root: /tmp,
// /var/tmp and the caches.
const scratchDirs = 3

// FitFiles lowers the sizes of the file systems in memory for which the operator has not asked, so that
// all of them together leave PID 1 and storage what they need. What is in them outlives every process
// that the kernel ends for want of memory. It is for sandboxes whose memory the daemon does not divide. It
// returns what the file systems may take, and whether that is too much, because it was asked for.
func FitFiles(l *datadir.Limits, a Asked, readOnly bool) (files int64, tooMuch bool) {
	room := l.WorkloadMemory()
	if room == 0 {
		return 0, false
	}
	if a.Shm == "" {
		l.Shm = min(l.Shm, room/2)
	}
	dirs := int64(1)
	if readOnly {
		dirs = scratchDirs
		if a.Tmp == "" {
			l.Tmp = max(leastSpace, min(l.Tmp, (room-l.Shm)/dirs))
		}
	}
	files = l.Shm + dirs*l.Tmp
	return files, files > room
}
