package lifecycle

import (
	"os"
	"slices"
	"strings"
)

// scratchDirs are those for temporary files. Where they are in memory, what the workload
// has left there counts as the sandbox's.
var scratchDirs = []string{"/tmp", "/var/tmp", "/dev/shm"}

// freeScratch gives the memory back that files of an ended workload take up. They may take
// all that the sandbox has, and outlive every process that the kernel ends for want of
// memory: without this the storage process could not flush.
//
// The mounts are taken away, which costs no walk through their files and touches
// no mount that other containers share. It needs SYS_ADMIN, as the cold path does;
// without, they stay.
func (s *sandbox) freeScratch() {
	if os.Getpid() != 1 {
		return // this process's mounts may be the machine's
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.log.Warn("the memory of temporary files is not given back", "event", "scratch_failed", "error", err.Error())
		return
	}
	c := s.Config
	for _, dir := range ownTmpfs(string(mounts), scratchDirs) {
		if slices.ContainsFunc([]string{c.HotPath, c.ColdPath, c.StateDir, c.RunDir}, func(p string) bool { return strings.HasPrefix(p+"/", dir+"/") }) {
			continue // the flush needs what is there
		}
		if err := detach(dir); err != nil {
			s.log.Info("the memory of temporary files is not given back", "event", "scratch_kept", "path", dir, "error", err.Error())
			continue
		}
		s.log.Info("the memory of temporary files is given back", "event", "scratch_freed", "path", dir)
	}
}

// ownTmpfs finds which of the directories are file systems in memory (proc_pid_mountinfo(5))
// that are mounted in this container alone. To detach a mount whose events are shared would
// detach it elsewhere, too: a container's are not shared, an ordinary machine's are.
func ownTmpfs(mountinfo string, dirs []string) (found []string) {
	for line := range strings.Lines(mountinfo) {
		mount, source, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(mount), strings.Fields(source)
		if !ok || len(fields) < 6 || len(kind) == 0 {
			continue
		}
		shared := slices.ContainsFunc(fields[6:], func(f string) bool { return strings.HasPrefix(f, "shared:") })
		if kind[0] == "tmpfs" && !shared && slices.Contains(dirs, fields[4]) {
			found = append(found, fields[4])
		}
	}
	return found
}
