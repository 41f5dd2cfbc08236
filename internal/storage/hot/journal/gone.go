package journal

import "github.com/matrx/sandbox/internal/storage/binenc"

// AddTombstone records that the deletion of path was seen and is not in S3 yet.
func (j *Journal) AddTombstone(path string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.gone[path]; ok {
		return nil
	}
	j.gone[path] = struct{}{}
	return j.append(opGone, func(b []byte) []byte { return binenc.AppendString(b, path) })
}

// DropTombstone takes that back: the path is there again.
func (j *Journal) DropTombstone(path string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.gone[path]; !ok {
		return nil
	}
	delete(j.gone, path)
	return j.append(opUngone, func(b []byte) []byte { return binenc.AppendString(b, path) })
}

// HasTombstone tells whether the deletion of path was seen and is not in S3 yet.
func (j *Journal) HasTombstone(path string) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	_, ok := j.gone[path]
	return ok
}

// Tombstones returns the paths for which HasTombstone holds, in no order.
func (j *Journal) Tombstones() []string {
	j.mu.RLock()
	defer j.mu.RUnlock()
	paths := make([]string, 0, len(j.gone))
	for p := range j.gone {
		paths = append(paths, p)
	}
	return paths
}

// Kept tells whether there is an entry whose deletion was not seen.
func (j *Journal) Kept() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	gone := 0
	for p := range j.gone {
		if j.files.get(p) != nil {
			gone++
		}
	}
	return j.files.count > gone
}
