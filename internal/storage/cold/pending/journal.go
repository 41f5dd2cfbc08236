package pending

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	magic      = "cold pending 01\n"
	frameHead  = 8
	maxFrame   = 256 << 20 // a rename of 100,000 files is some 30 MB
	compactMin = 1 << 20   // a smaller file is not worth writing anew

	recordPut    = 1
	recordRemove = 2

	// ahead is how much of the disk is kept for what comes next, so that a deletion can
	// still be written down when the disk is full.
	ahead = 256 << 10
)

// Journal is a file of entries.
type Journal struct {
	path string

	mu       sync.Mutex
	f        *os.File
	size     int64
	reserved int64 // fallocated up to here
	live     int   // entries, to judge when most of the file is history
	written  int   // records since the file was written anew
	broken   error // the file's end is not known any more
	buf      []byte
}

// Batch is what happens at once. Removals come first.
type Batch struct {
	Remove []string
	Put    []Entry
}

// Open reads the journal in a directory, or begins one, and gives what is pending by path.
func Open(dir string) (*Journal, map[string]Entry, error) {
	j := &Journal{path: filepath.Join(dir, "journal")}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the cold path's journal: %w", err)
	}
	j.f = f
	entries, err := j.replay()
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("cannot read the cold path's journal %s: %w", j.path, err)
	}
	j.live = len(entries)
	return j, entries, nil
}

// replay reads the frames and cuts off what a kill left at the end.
func (j *Journal) replay() (map[string]Entry, error) {
	entries := map[string]Entry{}
	info, err := j.f.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(j.f, head); err != nil {
		if info.Size() >= int64(len(magic)) {
			return nil, err
		}
		return entries, j.begin() // killed while it was begun
	}
	if string(head) != magic {
		return nil, errors.New("it is not a journal, or one of a newer version; move it away if what is pending in it may be lost")
	}
	j.size = int64(len(magic))
	r := &counted{r: io.NewSectionReader(j.f, j.size, info.Size()-j.size)}
	for {
		payload, ok, err := readFrame(r)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		n, err := apply(entries, payload)
		if err != nil {
			return nil, err // the checksum is right: this is not a kill's doing
		}
		j.written += n
		j.size = int64(len(magic)) + r.n
	}
	if j.size < info.Size() {
		return entries, j.f.Truncate(j.size)
	}
	return entries, nil
}

func (j *Journal) begin() error {
	if err := j.f.Truncate(0); err != nil {
		return err
	}
	_, err := j.f.WriteAt([]byte(magic), 0)
	j.size = int64(len(magic))
	return err
}

type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// readFrame gives the next payload; ok is false at the end, or at what a kill cut off.
func readFrame(r io.Reader) (payload []byte, ok bool, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, false, atEnd(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxFrame {
		return nil, false, nil
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, false, atEnd(err)
	}
	if crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(head[4:]) {
		return nil, false, nil
	}
	return payload, true, nil
}

func atEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

func apply(entries map[string]Entry, payload []byte) (records int, err error) {
	r := &reader{b: payload}
	for len(r.b) > 0 {
		op, body := r.uvarint(), r.str()
		if r.err != nil {
			return records, r.err
		}
		records++
		switch op {
		case recordRemove:
			delete(entries, body)
		case recordPut:
			e, err := decode([]byte(body))
			if err != nil {
				return records, err
			}
			entries[e.Path] = e
		default:
			return records, fmt.Errorf("%w: kind %d", errRecord, op)
		}
	}
	return records, nil
}

// Apply writes a batch. It is in the kernel when Apply returns without an error, and not in
// the journal otherwise.
func (j *Journal) Apply(b Batch, live int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	j.buf = appendBatch(j.buf[:0], b)
	defer func() {
		if cap(j.buf) > 1<<20 { // of a rename of many: not kept
			j.buf = nil
		}
	}()
	if err := j.append(j.buf); err != nil {
		return err
	}
	j.written += len(b.Put) + len(b.Remove)
	j.live = live
	return nil
}

func appendBatch(to []byte, b Batch) []byte {
	to = append(to, make([]byte, frameHead)...)
	var body []byte
	for _, p := range b.Remove {
		to = str(append(to, recordRemove), p)
	}
	for i := range b.Put {
		body = b.Put[i].encode(body[:0])
		to = binary.AppendUvarint(append(to, recordPut), uint64(len(body)))
		to = append(to, body...)
	}
	binary.BigEndian.PutUint32(to, uint32(len(to)-frameHead))
	binary.BigEndian.PutUint32(to[4:], crc32.Checksum(to[frameHead:], crc32.MakeTable(crc32.Castagnoli)))
	return to
}

func (j *Journal) append(frame []byte) error {
	if len(frame) > maxFrame {
		return fmt.Errorf("cannot write the cold path's journal: a batch of %d bytes", len(frame))
	}
	if end := j.size + int64(len(frame)) + ahead/2; end > j.reserved {
		if unix.Fallocate(int(j.f.Fd()), unix.FALLOC_FL_KEEP_SIZE, j.size, int64(len(frame))+ahead) == nil {
			j.reserved = j.size + int64(len(frame)) + ahead
		}
	}
	n, err := j.f.WriteAt(frame, j.size)
	if err != nil {
		// A frame that is there in part would hide those after it.
		if n > 0 {
			if terr := j.f.Truncate(j.size); terr != nil {
				j.broken = fmt.Errorf("cannot write the cold path's journal: %w; then: %w", err, terr)
				return j.broken
			}
		}
		return fmt.Errorf("cannot write the cold path's journal: %w", err)
	}
	j.size += int64(n)
	return nil
}

// Wasteful says that most of the file is history: time for Compact.
func (j *Journal) Wasteful() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size > compactMin && j.written > 4*j.live
}

// Compact writes the journal anew from all that is pending. Nothing may be applied meanwhile.
func (j *Journal) Compact(entries iter.Seq[Entry]) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	fresh := &Journal{path: j.path + ".new"}
	f, err := os.OpenFile(fresh.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the cold path's journal anew: %w", err)
	}
	fresh.f = f
	if err := fresh.fill(entries); err != nil {
		f.Close()
		os.Remove(fresh.path)
		return fmt.Errorf("cannot write the cold path's journal anew: %w", err)
	}
	if err := os.Rename(fresh.path, j.path); err != nil {
		f.Close()
		return fmt.Errorf("cannot write the cold path's journal anew: %w", err)
	}
	j.f.Close()
	j.f, j.size, j.reserved, j.broken = f, fresh.size, fresh.reserved, nil
	j.live, j.written = fresh.live, fresh.live
	return nil
}

func (j *Journal) fill(entries iter.Seq[Entry]) error {
	if err := j.begin(); err != nil {
		return err
	}
	var frame []byte
	b := Batch{Put: make([]Entry, 1)}
	for e := range entries {
		b.Put[0] = e
		frame = appendBatch(frame[:0], b)
		if err := j.append(frame); err != nil {
			return err
		}
		j.live++
	}
	// Before the rename: else the end of the machine could leave a name without its content.
	return j.f.Sync()
}

// Sync returns when the disk has what was applied.
func (j *Journal) Sync() error {
	j.mu.Lock()
	f := j.f
	j.mu.Unlock()
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("cannot sync the cold path's journal: %w", err)
	}
	return nil
}

// Close closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.f.Close()
}
