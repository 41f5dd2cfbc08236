package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// log is a file of records, each framed by its length and its CRC-32C. What follows
// the last whole record is a torn tail.
type log struct {
	path   string
	lock   *os.File
	f      *os.File
	size   int64 // of the whole records
	live   int64 // what it would be without stale ones, roughly
	booked int64 // up to here the disk's blocks are ours already
	err    error // why the newest changes are not in it
	failed time.Time
	frame  []byte
}

const (
	magic     = "sandbox journal 1\n"
	frameHead = 8
	maxRecord = 1 << 20 // a path is at most some KiB; more is garbage

	// reserve is how much room is booked ahead, so that a disk that fills up leaves
	// the journal space for some thousand records.
	reserve = 1 << 20
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // cached by crc32 itself

func openLog(path string) (*log, error) {
	// The lock is a file of its own, since the log is replaced by rename.
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the journal: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot open the journal %s: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("cannot lock the journal %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot open the journal: %w", err)
	}
	return &log{path: path, lock: lock, f: f}, nil
}

// read hands out the payloads in order until apply returns false or a record is not
// whole, and cuts the file there.
func (l *log) read(apply func(payload []byte) bool) error {
	r := bufio.NewReaderSize(l.f, 256<<10)
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != magic {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		return nil // empty, or not ours: it is replaced as a whole
	}
	l.size = int64(len(magic))
	var frame [frameHead]byte
	var payload []byte
	for {
		if _, err := io.ReadFull(r, frame[:]); err != nil {
			return l.cut(err)
		}
		n := binary.LittleEndian.Uint32(frame[:4])
		if n > maxRecord {
			return l.cut(nil)
		}
		if cap(payload) < int(n) {
			payload = make([]byte, n)
		}
		payload = payload[:n]
		if _, err := io.ReadFull(r, payload); err != nil {
			return l.cut(err)
		}
		if crc32.Checksum(payload, castagnoli()) != binary.LittleEndian.Uint32(frame[4:]) {
			return l.cut(nil)
		}
		if !apply(payload) {
			return l.cut(nil)
		}
		l.size += frameHead + int64(n)
	}
}

func (l *log) cut(err error) error {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err // the disk cannot be read: not an end
	}
	l.live = l.size
	return l.f.Truncate(l.size)
}

// append writes one record. After a failure the record is in memory alone and the log
// is as it was before.
func (l *log) append(payload []byte) error {
	b := binary.LittleEndian.AppendUint32(l.frame[:0], uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli()))
	b = append(b, payload...)
	l.frame = b
	l.book(int64(len(b)))
	if _, err := l.f.WriteAt(b, l.size); err != nil {
		return l.fail(err)
	}
	l.size += int64(len(b))
	return nil
}

// book asks for room ahead. A file system that cannot is no error: the write itself tells.
func (l *log) book(n int64) {
	if l.size+n <= l.booked {
		return
	}
	l.booked = l.size + n + reserve
	_ = unix.Fallocate(int(l.f.Fd()), unix.FALLOC_FL_KEEP_SIZE, l.size, n+reserve)
}

func (l *log) fail(err error) error {
	l.err = fmt.Errorf("cannot write the journal %s: %w; changes are still uploaded, but free some space, "+
		"else a crash makes conflict copies of them", l.path, err)
	l.failed = time.Now()
	_ = l.f.Truncate(l.size) // a torn tail would be cut at Open anyway
	l.booked = l.size        // the truncation gave the booked blocks back
	return l.err
}

// replace writes a new log and renames it over the old one, which stays whole until then.
func (l *log) replace(fill func(put func(payload []byte) error) error) error {
	next, err := l.fillNew(fill)
	if err != nil {
		os.Remove(l.path + ".new")
		return l.fail(err)
	}
	l.f.Close()
	l.f, l.size, l.live, l.err = next.f, next.size, next.size, nil
	l.booked = l.size
	return nil
}

func (l *log) fillNew(fill func(put func(payload []byte) error) error) (next *log, err error) {
	f, err := os.OpenFile(l.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	w := bufio.NewWriterSize(f, 256<<10)
	w.WriteString(magic)
	next = &log{f: f, size: int64(len(magic))}
	err = fill(func(payload []byte) error {
		var frame [frameHead]byte
		binary.LittleEndian.PutUint32(frame[:4], uint32(len(payload)))
		binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(payload, castagnoli()))
		next.size += frameHead + int64(len(payload))
		w.Write(frame[:])
		_, err := w.Write(payload)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	// Before the rename: else a crash of the host could leave the name with no content.
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := os.Rename(l.path+".new", l.path); err != nil {
		return nil, err
	}
	if d, err := os.Open(filepath.Dir(l.path)); err == nil {
		_ = d.Sync() // some file systems cannot: then a crash of the host brings the old log back
		_ = d.Close()
	}
	return next, nil
}

func (l *log) sync() error {
	if err := unix.Fdatasync(int(l.f.Fd())); err != nil {
		return fmt.Errorf("cannot bring the journal %s to the disk: %w", l.path, err)
	}
	return nil
}

func (l *log) close() error {
	return errors.Join(l.f.Close(), l.lock.Close())
}
