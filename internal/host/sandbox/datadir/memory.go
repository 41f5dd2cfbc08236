package datadir

// WorkloadMemory is what the workload may have of a sandbox's memory: the rest is kept for PID 1 and
// storage, a quarter, but no less than they need for a flush and no more than they ever use. 0:
// there is no limit.
func (l Limits) WorkloadMemory() int64 {
	if l.Memory == 0 {
		return 0
	}
	return l.Memory - min(max(l.Memory/4, 24<<20), 128<<20)
}
