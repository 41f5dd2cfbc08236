package journal

// Seen is one name of a directory as a scan found it.
type Seen struct {
	Name string
	Stat Stat
	Mode uint32 // st_mode; the caller's
	Dir  bool
}

// Differ compares a directory that was read to its end with what the journal has of it.
// changed are the indexes of files in seen that are new or not as they were stored, or of
// which a write was not answered, so that S3 may hold another version than is known;
// absent the names whose entry has nothing in seen that it could be. A directory's own
// attributes are not compared. It allocates nothing when nothing differs.
func (j *Journal) Differ(dir string, seen []Seen) (changed []int, absent []string) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	n := j.files.dir(dir)
	if n == nil {
		n = &node{}
	}
	found := 0
	for i := range seen {
		s := &seen[i]
		r := n.files[s.Name]
		if r != nil && s.Dir == r.isMarker() {
			found++
			if s.Dir || r.local == s.Stat && !unanswered(j.intents, dir, s.Name) {
				continue
			}
		}
		if !s.Dir {
			changed = append(changed, i)
		}
	}
	if found == len(n.files) {
		return changed, nil
	}
	there := make(map[string]bool, len(seen))
	for _, s := range seen {
		there[s.Name] = s.Dir
	}
	for name, r := range n.files {
		if isDir, ok := there[name]; !ok || isDir != r.isMarker() {
			absent = append(absent, name)
		}
	}
	return changed, absent
}

func unanswered(intents map[string]Intent, dir, name string) bool {
	if len(intents) == 0 {
		return false
	}
	_, ok := intents[join(dir, name)]
	return ok
}

// Dirs returns the names of the directories in dir that have entries below them.
func (j *Journal) Dirs(dir string) []string {
	j.mu.RLock()
	defer j.mu.RUnlock()
	n := j.files.dir(dir)
	if n == nil {
		return nil
	}
	names := make([]string, 0, len(n.dirs))
	for name := range n.dirs {
		names = append(names, name)
	}
	return names
}

// isMarker tells whether the entry is that of a directory.
func (r *record) isMarker() bool {
	if r.key == keyIsOdd {
		return len(r.odd.key) > 0 && r.odd.key[len(r.odd.key)-1] == '/'
	}
	return r.key == keyIsPathSlash
}

// IsMarker tells whether the entry is that of a directory.
func (e Entry) IsMarker() bool { return len(e.Key) > 0 && e.Key[len(e.Key)-1] == '/' }
