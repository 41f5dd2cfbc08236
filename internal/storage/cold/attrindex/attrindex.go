package attrindex

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/matrx/sandbox/internal/storage/binenc"
	"github.com/matrx/sandbox/internal/storage/reclog"
)

// Index is the files in one directory. It may be used by many goroutines.
type Index struct {
	dir  string
	room func(do func() error) error

	folding sync.Mutex // one new table at a time

	mu     sync.Mutex
	table  *table // nil: none yet; replaced with folding as well
	count  int    // entries in it
	recent map[string]Entry
	log    *reclog.Log
	buf    []byte

	doubtful bool // see Doubtful
}

const (
	tableName = "attrs"
	logName   = "attrs.log"

	// FoldAt is from how many new entries on Fold is worth its while: they are in memory.
	FoldAt = 10_000
)

var logFormat = reclog.Format{
	Magic: "cold attributes 1\n", MaxRecord: maxBlock,
	Reserve: 128 << 10, // some 1,000 entries, so that a full disk has room for those of what is being stored
}

// Open reads what there is. What is damaged is dropped; the error is one of the disk. room runs something that
// needs room on the disk, and again when it has made some.
func Open(dir string, room func(do func() error) error) (*Index, error) {
	x := &Index{dir: dir, room: room, recent: map[string]Entry{}}
	var err error
	if x.table, err = openTable(filepath.Join(dir, tableName)); err == nil {
		for _, err := range x.table.all() {
			if err != nil {
				x.table.close()
				x.table = nil
				break
			}
			x.count++
		}
	}
	if err := x.openLog(); err != nil {
		return nil, fmt.Errorf("cannot read the index of attributes: %w", err)
	}
	return x, nil
}

// openLog reads the log. One of another format is emptied: the objects tell what it held.
func (x *Index) openLog() error {
	path := filepath.Join(x.dir, logName)
	log, err := reclog.Open(path, logFormat, func(payload []byte) (bool, error) {
		r := binenc.NewReader(payload)
		e := readEntry(r, "")
		if r.Err() == nil {
			x.recent[e.Key] = e
		}
		return r.Err() == nil, nil
	})
	if errors.Is(err, reclog.ErrForeign) {
		log, err = reclog.Create(path, logFormat, func(func([]byte) error) error { return nil })
	}
	x.log = log
	return err
}

// Put remembers an entry; one without ETag says that the object is gone.
func (x *Index) Put(e Entry) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old, ok := x.get(e.Key); ok && old == e || !ok && e.ETag == "" {
		return nil
	}
	if x.table != nil && e.ETag != "" && !x.doubtful {
		old, ok, err := x.table.find(e.Key)
		x.doubtful = ok && err == nil && old != e && old.Is(e.ETag, e.Size, e.Modified)
	}
	x.recent[strings.Clone(e.Key)] = e
	return x.write(e)
}

// Doubtful says that the table has an entry that would be taken for one of a newer version, which the log has: an
// index that was shared is to be replaced at once.
func (x *Index) Doubtful() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.doubtful
}

// write has the disk know an entry, or know nothing that could be taken for it: a change of attributes alone
// leaves content and ETag as they were, and an older entry of the key would be found for the new version. A full
// disk refuses no removal.
func (x *Index) write(e Entry) error {
	err := x.room(func() error { return x.append(e) })
	if err == nil {
		return nil
	}
	err = errors.Join(err, x.log.Reset())
	if x.table == nil {
		return err
	}
	if old, ok, unread := x.table.find(e.Key); unread == nil && !(ok && old.Is(e.ETag, e.Size, e.Modified)) {
		return err
	}
	x.count = 0 // the next Fold makes the file again
	if gone := os.Remove(filepath.Join(x.dir, tableName)); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

func (x *Index) append(e Entry) error {
	x.buf = e.encode(x.buf[:0], "")
	if err := x.log.Append(x.buf); err != nil {
		return fmt.Errorf("cannot write the index of attributes: %w", err)
	}
	return nil
}

func (x *Index) get(key string) (Entry, bool) {
	if e, ok := x.recent[key]; ok {
		return e, true
	}
	if x.table != nil {
		if e, ok, err := x.table.find(key); ok && err == nil {
			return e, true
		}
	}
	return Entry{}, false
}

// Find gives what is known of a key.
func (x *Index) Find(key string) (Entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.get(key)
	return e, ok && e.ETag != ""
}

// Counts says how many entries there are, and how many of them are new since the last fold.
func (x *Index) Counts() (all, recent int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count, len(x.recent)
}

// Final is the asOf of a table after which nothing is written.
const Final = math.MaxInt64

// Fold writes the table anew, with what was new when it was called. asOf is a time of S3's clock that is not later
// than now: an entry is left in the log, and its key out of the table, as long as a version that is written after
// Fold could be taken for it.
func (x *Index) Fold(asOf int64) error {
	if all, recent := x.Counts(); recent == 0 && all > 0 {
		return nil
	}
	return x.replace(asOf, merge)
}

func tableEntries(t *table) iter.Seq2[Entry, error] {
	if t == nil {
		return func(func(Entry, error) bool) {}
	}
	return t.all()
}

func sorted(m map[string]Entry) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(m[k], nil) {
				return
			}
		}
	}
}

// replace writes a new table, made of the old one and of what is new, while both go on being used,
// and then puts it in their place.
func (x *Index) replace(asOf int64, build func(table, recent iter.Seq2[Entry, error]) iter.Seq2[Entry, error]) (err error) {
	x.folding.Lock()
	defer x.folding.Unlock()
	x.mu.Lock()
	old, taken := x.table, maps.Clone(x.recent)
	x.mu.Unlock()
	for k, e := range taken {
		if e.Modified >= asOf-slack {
			taken[k] = Entry{Key: k} // an older entry of the key does not stay either
		}
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write the index of attributes: %w", err)
		}
	}()
	name, count := filepath.Join(x.dir, tableName), 0
	err = x.room(func() (err error) {
		count, err = writeTableAt(name, build(tableEntries(old), sorted(taken)))
		return err
	})
	if err != nil {
		return err
	}
	fresh, err := openTable(name)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if old != nil {
		old.close()
	}
	x.table, x.count, x.doubtful = fresh, count, false
	return x.rewriteLog(taken)
}

// writeTableAt writes a table that has its name when it is whole.
func writeTableAt(name string, entries iter.Seq2[Entry, error]) (count int, err error) {
	f, err := os.OpenFile(name+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	count, err = writeTable(f, entries)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		os.Remove(name + ".new")
	}
	return count, err
}

// rewriteLog keeps what came after the new table was begun. A kill in the middle loses entries,
// which the objects still tell.
func (x *Index) rewriteLog(taken map[string]Entry) error {
	for k, e := range taken {
		if x.recent[k] == e {
			delete(x.recent, k)
		}
	}
	if err := x.log.Reset(); err != nil {
		return err
	}
	var err error
	for _, e := range x.recent {
		err = errors.Join(err, x.write(e))
	}
	return err
}

// merge gives the entries of two sorted rows in order; of two with one key, the second row's.
// What is gone is left out.
func merge(a, b iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
	return mergeBy(a, b, func(_, b Entry) Entry { return b })
}

func mergeBy(a, b iter.Seq2[Entry, error], choose func(a, b Entry) Entry) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		nextA, stopA := iter.Pull2(a)
		defer stopA()
		nextB, stopB := iter.Pull2(b)
		defer stopB()
		ea, erra, okA := nextA()
		eb, errb, okB := nextB()
		for okA || okB {
			if err := errors.Join(erra, errb); err != nil {
				yield(Entry{}, err)
				return
			}
			var e Entry
			takeA := okA && (!okB || ea.Key <= eb.Key)
			takeB := okB && (!okA || eb.Key <= ea.Key)
			switch {
			case takeA && takeB:
				e = choose(ea, eb)
			case takeA:
				e = ea
			default:
				e = eb
			}
			if e.ETag != "" && !yield(e, nil) {
				return
			}
			if takeA {
				ea, erra, okA = nextA()
			}
			if takeB {
				eb, errb, okB = nextB()
			}
		}
	}
}

// Adopt takes the entries of another table, a file, into this one: of two with one key, the one
// about the newer version. Own entries win where both are as new. asOf is as for Fold.
func (x *Index) Adopt(name string, asOf int64) error {
	other, err := openTable(name)
	if err != nil {
		return fmt.Errorf("cannot read an index of attributes: %w", err)
	}
	defer other.close()
	return x.replace(asOf, func(table, recent iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
		return mergeBy(other.all(), mergeKeepingGone(table, recent), func(theirs, ours Entry) Entry {
			if ours.ETag != "" && theirs.Modified > ours.Modified {
				return theirs
			}
			return ours
		})
	})
}

// mergeKeepingGone is merge for a row that is merged again: that an object is gone has to be known
// there.
func mergeKeepingGone(a, b iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
	const mark = "\x00gone"
	masked := func(row iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
		return func(yield func(Entry, error) bool) {
			for e, err := range row {
				if e.ETag == "" {
					e.ETag = mark
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
	return func(yield func(Entry, error) bool) {
		for e, err := range merge(masked(a), masked(b)) {
			if e.ETag == mark {
				e.ETag = ""
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// Table opens the table for reading, with its size. There is one after Fold.
func (x *Index) Table() (*os.File, int64, error) {
	f, err := os.Open(filepath.Join(x.dir, tableName))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Close closes the files.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.log.Close()
	if x.table != nil {
		err = errors.Join(err, x.table.close())
	}
	return err
}
