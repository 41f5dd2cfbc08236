package pending

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/matrx/sandbox/internal/storage/binenc"
	"github.com/matrx/sandbox/internal/storage/reclog"
)

var format = reclog.Format{
	Magic:     "cold pending 2\n",
	MaxRecord: 256 << 20, // a rename of 100,000 files is some 30 MB
	Reserve:   256 << 10, // so that a deletion can still be written down when the disk is full
}

const (
	compactMin = 1 << 20 // bytes; a smaller file is not worth writing anew

	recordPut    = 1
	recordRemove = 2

	// syncAfter is how long after a batch the disk has it, when no Sync comes earlier.
	syncAfter = time.Second
)

// Journal is a file of entries.
type Journal struct {
	path string

	mu        sync.Mutex
	log       *reclog.Log
	next      *reclog.Log // see Compaction; nil: the journal is not being written anew
	beginning bool        // next is being made
	rewrite   int         // how often log or next was replaced
	live      int         // entries, to judge when most of the file is history
	written   int         // records since the file was written anew
	syncing   *time.Timer
	buf       []byte
}

// Batch is what happens at once. Removals come first.
type Batch struct {
	Remove []string
	Put    []Entry
}

// Found is what Open read.
type Found struct {
	Entries map[string]Entry // by path

	// Mentioned are the cached files that the journal speaks of, of entries that are gone again
	// too: content of any other name lost its entry in a power cut.
	Mentioned map[string]bool

	// Damaged says why the journal could not be read to its end. Entries are those before the
	// damage, and the journal was set aside as SetAside.
	Damaged  error
	SetAside string
}

// Open reads the journal in a directory, or begins one. A damaged journal is no error: it is set
// aside, and a new one begins with the entries that could be read.
func Open(dir string) (*Journal, Found, error) {
	j := &Journal{path: filepath.Join(dir, "journal")}
	found := Found{Entries: map[string]Entry{}, Mentioned: map[string]bool{}}
	os.Remove(j.path + nextSuffix)
	var err error
	j.log, err = reclog.Open(j.path, format, func(payload []byte) (bool, error) {
		n, err := apply(&found, payload)
		j.written += n
		return true, err // the checksum is right: an error is not a kill's doing
	})
	switch {
	case err == nil:
	case errors.Is(err, reclog.ErrForeign), errors.Is(err, binenc.ErrDamaged):
		found.Damaged = err
		if err := j.setAside(dir, &found); err != nil {
			return nil, found, fmt.Errorf("cannot set the damaged journal %s of the cold path aside (%w): %w", j.path, found.Damaged, err)
		}
	default:
		return nil, found, fmt.Errorf("cannot open the cold path's journal: %w", err)
	}
	j.live = len(found.Entries)
	return j, found, nil
}

// setAside keeps a journal that cannot be read, and begins a new one.
func (j *Journal) setAside(dir string, found *Found) error {
	aside := filepath.Join(dir, DamagedDir)
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	found.SetAside = filepath.Join(aside, "journal-"+time.Now().UTC().Format("20060102T150405.000000000Z"))
	if err := os.Rename(j.path, found.SetAside); err != nil {
		return err
	}
	var err error
	j.log, err = reclog.Create(j.path, format, put(maps.Values(found.Entries)))
	j.written = len(found.Entries)
	return err
}

// put gives a log one record for each entry.
func put(entries iter.Seq[Entry]) func(put func([]byte) error) error {
	return func(put func([]byte) error) error {
		var buf []byte
		b := Batch{Put: make([]Entry, 1)}
		for e := range entries {
			b.Put[0] = e
			buf = appendBatch(buf[:0], b)
			if err := put(buf); err != nil {
				return err
			}
		}
		return nil
	}
}

// DamagedDir is the directory, beside the journal, of files that could not be read after a crash of
// the machine. Nothing removes them but their user.
const DamagedDir = "damaged"

func apply(found *Found, payload []byte) (records int, err error) {
	r := binenc.NewReader(payload)
	for r.Len() > 0 {
		op, body := r.Uvarint(), r.Bytes(r.Uvarint())
		if r.Err() != nil {
			return records, r.Err()
		}
		records++
		switch op {
		case recordRemove:
			delete(found.Entries, string(body))
		case recordPut:
			e, err := decode(body)
			if err != nil {
				return records, err
			}
			found.Entries[e.Path] = e
			if e.Data != "" {
				found.Mentioned[e.Data] = true
			}
		default:
			return records, fmt.Errorf("%w: kind %d", binenc.ErrDamaged, op)
		}
	}
	return records, nil
}

// Apply writes a batch. It is in the kernel when Apply returns without an error, and not in
// the journal otherwise.
func (j *Journal) Apply(b Batch, live int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf = appendBatch(j.buf[:0], b)
	defer func() {
		if cap(j.buf) > 1<<20 { // of a rename of many: not kept
			j.buf = nil
		}
	}()
	if err := j.log.Append(j.buf); err != nil {
		return fmt.Errorf("cannot write the cold path's journal: %w", err)
	}
	if j.next != nil && j.next.Append(j.buf) != nil {
		j.dropNextLocked() // the disk is full: it is tried again later
	}
	j.written += len(b.Put) + len(b.Remove)
	j.live = live
	if j.syncing == nil {
		j.syncing = time.AfterFunc(syncAfter, j.syncLater)
	}
	return nil
}

// syncLater bounds what the end of the machine takes from the journal. An error is the next Sync's
// to report: nothing has been told that these entries are on the disk.
func (j *Journal) syncLater() {
	j.mu.Lock()
	j.syncing = nil
	j.mu.Unlock()
	_ = j.Sync()
}

func appendBatch(to []byte, b Batch) []byte {
	var body []byte
	for _, p := range b.Remove {
		to = binenc.AppendString(append(to, recordRemove), p)
	}
	for i := range b.Put {
		body = b.Put[i].encode(body[:0])
		to = binary.AppendUvarint(append(to, recordPut), uint64(len(body)))
		to = append(to, body...)
	}
	return to
}

// Wasteful says that most of the file is history: time for Compact.
func (j *Journal) Wasteful() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next == nil && j.log.Size() > compactMin && j.written > 4*j.live
}

// Close closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.syncing != nil {
		j.syncing.Stop()
	}
	j.dropNextLocked()
	return j.log.Close()
}
