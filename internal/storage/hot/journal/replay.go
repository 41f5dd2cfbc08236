package journal

import (
	"time"

	"github.com/matrx/sandbox/internal/storage/binenc"
)

// replay applies the log's records. It reports false when there was nothing of this
// home in it.
func (j *Journal) replay(want Identity) (found bool, err error) {
	err = j.log.read(func(payload []byte) bool {
		if !found {
			// The first record says whose journal it is; another's is not read further.
			if len(payload) == 0 || op(payload[0]) != opHome {
				return false
			}
			f := fieldsOf(payload[1:])
			id, _, _ := f.home()
			if f.bad() || !id.sameHome(want) {
				return false
			}
			found = true
		}
		return j.apply(payload)
	})
	if !found {
		return false, err
	}
	j.origin = Continued
	if j.id.BootID != want.BootID {
		j.origin = Rebooted
	}
	return true, err
}

// apply makes one record's change in memory. False: it is malformed, and the log ends before it.
func (j *Journal) apply(payload []byte) bool {
	if len(payload) == 0 {
		return false
	}
	f := fieldsOf(payload[1:])
	switch op(payload[0]) {
	case opHome:
		id, hydrated, seq := f.home()
		if f.bad() {
			return false
		}
		j.id, j.hydrated, j.seq = id, hydrated, seq
	case opPut:
		e := f.entry()
		if f.bad() {
			return false
		}
		j.seq++
		j.put(e)
	case opTouch:
		path, local := f.String(), f.stat()
		if f.bad() {
			return false
		}
		if r := j.files.get(path); r != nil {
			r.local = local
		}
	case opBegin:
		path, in := f.String(), f.intent()
		if f.bad() {
			return false
		}
		j.begin(path, in)
	case opDelete:
		path, key := f.String(), f.String()
		if f.bad() {
			return false
		}
		j.beginDelete(path, key)
	case opTwin:
		name, t := f.String(), Twin{Key: f.String(), ETag: f.String()}
		if f.bad() {
			return false
		}
		j.twins[name] = t
	default:
		path := f.String()
		if f.bad() {
			return false
		}
		switch op(payload[0]) {
		case opForget:
			j.seq++
			j.files.remove(path)
			delete(j.gone, path)
			j.end(path, 1)
		case opGone:
			j.gone[path] = struct{}{}
		case opUngone:
			delete(j.gone, path)
		case opUntwin:
			delete(j.twins, path)
		default:
			return false
		}
	}
	return f.Len() == 0
}

// append writes one record, and the whole log anew when that failed before or when
// most of it is stale. The change is in memory already.
func (j *Journal) append(o op, fill func([]byte) []byte) error {
	if j.log.err != nil {
		return j.catchUp(false)
	}
	j.scratch = fill(append(j.scratch[:0], byte(o)))
	if err := j.log.append(j.scratch); err != nil {
		return err
	}
	if o == opPut || o == opHome {
		j.log.live = j.liveBytes()
	}
	if j.log.size() > 2*j.log.live+(4<<20) {
		return j.rewrite()
	}
	return nil
}

// liveBytes guesses the size of a log without stale records.
func (j *Journal) liveBytes() int64 {
	return int64(j.files.count)*int64(recordGuess) + int64(len(j.gone)+len(j.intents))*recordGuess
}

// recordGuess is a usual record's size.
const recordGuess = 220

// catchUp writes the log anew after a failure: at once when asked to, else once a while,
// since a rewrite on a disk that is still full is wasted work.
func (j *Journal) catchUp(now bool) error {
	if j.log.err == nil {
		return nil
	}
	if !now && time.Since(j.log.failed) < retryRewrite {
		return j.log.err
	}
	return j.rewrite()
}

const retryRewrite = 5 * time.Second

// rewrite replaces the log by one that holds the present state alone.
func (j *Journal) rewrite() error {
	return j.log.replace(func(put func(payload []byte) error) error {
		var b []byte
		var failed error
		record := func(o op, fill func([]byte) []byte) {
			if failed == nil {
				b = fill(append(b[:0], byte(o)))
				failed = put(b)
			}
		}
		// The sequence number is written last as well: each Put that is replayed counts one up.
		record(opHome, func(b []byte) []byte { return appendHome(b, j.id, j.hydrated, j.seq) })
		// An intent that ended: it began, and what was known was forgotten. The entries follow.
		for p, in := range j.unresolved {
			record(opBegin, func(b []byte) []byte { return appendIntent(binenc.AppendString(b, p), in) })
			record(opForget, func(b []byte) []byte { return binenc.AppendString(b, p) })
		}
		j.files.each(func(e Entry) {
			record(opPut, func(b []byte) []byte { return appendEntry(b, e) })
		})
		for name, t := range j.twins {
			record(opTwin, func(b []byte) []byte { return appendTwin(b, name, t) })
		}
		for p := range j.gone {
			record(opGone, func(b []byte) []byte { return binenc.AppendString(b, p) })
		}
		for p, in := range j.intents {
			if in.WriteID != "" {
				record(opBegin, func(b []byte) []byte { return appendIntent(binenc.AppendString(b, p), in) })
			}
			if in.Deletes {
				record(opDelete, func(b []byte) []byte { return binenc.AppendString(binenc.AppendString(b, p), in.Key) })
			}
		}
		record(opHome, func(b []byte) []byte { return appendHome(b, j.id, j.hydrated, j.seq) })
		return failed
	})
}
