package execd

import (
	"bytes"
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
)

// records are what the next server knows of this one's execs when this one is killed. They are in a file without
// a name that PID 1 holds and each server inherits: slots of one size, which never cross a page, so that a kill
// leaves each whole (the kernel ends a write(2) early only between pages).
type records struct {
	file *os.File // nil: none are kept

	mu   sync.Mutex
	free []int
	next int
	kept map[int]record
}

// slotSize bounds a record; its arguments are cut to fit.
const slotSize = 512

// record is one exec's.
type record struct {
	ID      string         `json:"id"`
	Args    []string       `json:"args"`
	Dir     string         `json:"dir,omitempty"`
	Started time.Time      `json:"started"`
	Final   *execapi.Final `json:"final,omitempty"` // nil: it runs
}

// openRecords reads what an earlier server has left: by slot.
func openRecords(f *os.File) (*records, map[int]record) {
	r := &records{file: f, kept: map[int]record{}}
	if f == nil {
		return r, nil
	}
	slot := make([]byte, slotSize)
	for n := range execapi.MaxKnown {
		if _, err := f.ReadAt(slot, int64(n)*slotSize); err != nil {
			break
		}
		r.next = n + 1
		var rec record
		if json.Unmarshal(bytes.TrimRight(slot, "\x00"), &rec) != nil || !execapi.ValidID(rec.ID) {
			r.free = append(r.free, n)
			continue
		}
		r.kept[n] = rec
	}
	found := map[int]record{}
	for n, rec := range r.kept {
		found[n] = rec
	}
	return r, found
}

// started records one that is about to start, and gives its slot; -1: none.
func (r *records) started(rec record) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.next
	if last := len(r.free) - 1; last >= 0 {
		n, r.free = r.free[last], r.free[:last]
	} else {
		r.next++
	}
	r.kept[n] = rec
	r.write(n, &rec)
	return n
}

// ended records how it has ended.
func (r *records) ended(n int, f execapi.Final) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.kept[n]
	if !ok {
		return
	}
	rec.Final = &f
	r.kept[n] = rec
	r.write(n, &rec)
}

// forget frees a slot.
func (r *records) forget(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.kept[n]; !ok {
		return
	}
	delete(r.kept, n)
	r.free = append(r.free, n)
	r.write(n, nil)
}

// write writes a slot. A failure costs the next server this one record.
func (r *records) write(n int, rec *record) {
	if r.file == nil {
		return
	}
	slot := make([]byte, slotSize)
	if rec != nil {
		copy(slot, rec.fit())
	}
	_, _ = r.file.WriteAt(slot, int64(n)*slotSize)
}

// fit encodes it, with as many of its arguments as there is room for.
func (rec record) fit() []byte {
	for {
		b, err := json.Marshal(rec)
		if err == nil && len(b) <= slotSize {
			return b
		}
		switch last := len(rec.Args) - 1; {
		case last > 0:
			rec.Args = rec.Args[:last]
		case last == 0 && len(rec.Args[0]) > 40:
			rec.Args = []string{rec.Args[0][:40]}
		default:
			rec.Args, rec.Dir = nil, ""
			b, _ = json.Marshal(rec)
			return b
		}
	}
}
