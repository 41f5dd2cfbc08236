package journal

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// Intent is a write that is about to be sent, or a deletion, which has none. WriteID is "BASE.N": BASE stays the
// same until the path's write is known to have arrived, N counts the attempts, so
// that each of them is recognised as ours and the newest is known by its content.
type Intent struct {
	WriteID  string
	Key      string
	UploadID string // of a multipart upload that can be resumed while the file is Local
	Size     int64
	Mode     uint32
	Mtime    int64
	SHA256   [32]byte // zero when not known before it is sent
	Local    Stat

	Deletes bool // a deletion was sent too, or alone: S3 may hold nothing of the entry; see [Journal.BeginDelete]
}

// Wrote tells whether an object's write id is one of this intent's attempts, and
// whether it is the newest, the one that the intent describes.
func (in Intent) Wrote(writeID string) (ours, newest bool) {
	base, _, ok := strings.Cut(in.WriteID, ".")
	if !ok || base == "" {
		return false, false
	}
	got, _, ok := strings.Cut(writeID, ".")
	return ok && got == base, writeID == in.WriteID
}

// tries is how many attempts there were up to this one.
func (in Intent) tries() int {
	_, number, _ := strings.Cut(in.WriteID, ".")
	n, _ := strconv.Atoi(number)
	return n
}

// Again is the id of the next attempt.
func (in Intent) Again() string {
	base, _, _ := strings.Cut(in.WriteID, ".")
	return base + "." + strconv.Itoa(in.tries()+1)
}

// end ends an intent. From so many attempts on, one may still arrive.
func (j *Journal) end(path string, least int) {
	in, ok := j.intents[path]
	if !ok {
		return
	}
	delete(j.intents, path)
	if in.tries() < least {
		return
	}
	if _, ok := j.unresolved[path]; !ok && len(j.unresolved) >= mostUnresolved {
		for other := range j.unresolved {
			delete(j.unresolved, other)
			break
		}
	}
	in.UploadID, in.Deletes = "", false
	j.unresolved[path] = in
}

// mostUnresolved bounds what is remembered of writes that may still arrive. They do so within
// moments, or never.
const mostUnresolved = 1024

// Begin records a write before it is sent. It replaces the path's earlier intent, so
// keep that one's BASE as long as its write may still arrive.
func (j *Journal) Begin(path string, in Intent) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begin(path, in)
	return j.append(opBegin, func(b []byte) []byte { return appendIntent(binenc.AppendString(b, path), in) })
}

// begin is Begin in memory. A deletion before it stays unanswered.
func (j *Journal) begin(path string, in Intent) {
	in.Deletes = j.intents[path].Deletes
	j.intents[path] = in
}

// BeginDelete records a deletion of what is known of path before it is sent: until Put or Forget, S3 may hold nothing
// of it, also when the file is there again.
func (j *Journal) BeginDelete(path, key string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.intents[path].Deletes {
		return nil
	}
	j.beginDelete(path, key)
	return j.append(opDelete, func(b []byte) []byte { return binenc.AppendString(binenc.AppendString(b, path), key) })
}

// beginDelete is BeginDelete in memory. A write that may still arrive stays known.
func (j *Journal) beginDelete(path, key string) {
	in, ok := j.intents[path]
	if !ok {
		if in = j.unresolved[path]; in.Key != key {
			in = Intent{Key: key}
		}
	}
	in.Deletes = true
	j.intents[path] = in
}

// Intent returns the write of path that was sent and not answered, or the deletion.
func (j *Journal) Intent(path string) (Intent, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	in, ok := j.intents[path]
	return in, ok
}

// Unanswered returns the paths for which Intent returns a write, in no order.
func (j *Journal) Unanswered() []string {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return slices.Collect(maps.Keys(j.intents))
}

// Unresolved returns the last write of path that may still arrive, whether its intent has ended or not. The
// next attempt shares its BASE.
func (j *Journal) Unresolved(path string) (Intent, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if in, ok := j.intents[path]; ok {
		return in, true
	}
	in, ok := j.unresolved[path]
	return in, ok
}

// AllUnresolved returns what Unresolved does, by path.
func (j *Journal) AllUnresolved() map[string]Intent {
	j.mu.RLock()
	defer j.mu.RUnlock()
	all := maps.Clone(j.unresolved)
	maps.Copy(all, j.intents)
	return all
}

// Strays returns the writes that may still arrive where nothing is to be, by path: what was known
// of the path was forgotten since, and nothing was sent after.
func (j *Journal) Strays() map[string]Intent {
	j.mu.RLock()
	defer j.mu.RUnlock()
	all := map[string]Intent{}
	for path, in := range j.unresolved {
		if _, sent := j.intents[path]; !sent && j.files.get(path) == nil {
			all[path] = in
		}
	}
	return all
}

// Arrived says that no attempt at a write of path is on its way any more. It is not recorded: the
// next process asks once more.
func (j *Journal) Arrived(path string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.unresolved, path)
}
