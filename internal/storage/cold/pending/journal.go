package pending

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

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

	// syncAfter is how long after a batch the disk has it, when nobody asks for it earlier.
	syncAfter = time.Second
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
	syncing  *time.Timer
	buf      []byte
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
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, found, fmt.Errorf("cannot open the cold path's journal: %w", err)
	}
	j.f = f
	if found.Damaged = j.replay(&found); found.Damaged != nil {
		if err := j.setAside(dir, &found); err != nil {
			j.f.Close()
			return nil, found, fmt.Errorf("cannot set the damaged journal %s of the cold path aside (%w): %w", j.path, found.Damaged, err)
		}
	}
	j.live = len(found.Entries)
	return j, found, nil
}

// replay reads the frames and cuts off what a kill left at the end.
func (j *Journal) replay(found *Found) error {
	info, err := j.f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(j.f, head); err != nil {
		if info.Size() >= int64(len(magic)) {
			return err
		}
		return j.begin() // killed while it was begun
	}
	if string(head) != magic {
		return errors.New("it is not a journal, or one of a newer version")
	}
	j.size = int64(len(magic))
	r := &counted{r: io.NewSectionReader(j.f, j.size, info.Size()-j.size)}
	for {
		payload, ok, err := readFrame(r)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		n, err := apply(found, payload)
		if err != nil {
			return err // the checksum is right: this is not a kill's doing
		}
		j.written += n
		j.size = int64(len(magic)) + r.n
	}
	if j.size < info.Size() {
		return j.f.Truncate(j.size)
	}
	return nil
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
	j.f.Close()
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	j.f, j.reserved, j.written = f, 0, 0
	if err := j.fill(maps.Values(found.Entries)); err != nil {
		return err
	}
	j.written = j.live
	return nil
}

// DamagedDir is the directory, beside the journal, of files that could not be read after a crash of
// the machine. Nothing removes them but their user.
const DamagedDir = "damaged"

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

func apply(found *Found, payload []byte) (records int, err error) {
	r := &reader{b: payload}
	for len(r.b) > 0 {
		op, body := r.uvarint(), r.str()
		if r.err != nil {
			return records, r.err
		}
		records++
		switch op {
		case recordRemove:
			delete(found.Entries, body)
		case recordPut:
			e, err := decode([]byte(body))
			if err != nil {
				return records, err
			}
			found.Entries[e.Path] = e
			if e.Data != "" {
				found.Mentioned[e.Data] = true
			}
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
	if j.syncing == nil {
		j.syncing = time.AfterFunc(syncAfter, j.syncLater)
	}
	return nil
}

// syncLater bounds what the end of the machine takes from the journal. An error is the next Sync's
// to report: nobody was told that these entries are on the disk.
func (j *Journal) syncLater() {
	j.mu.Lock()
	j.syncing = nil
	j.mu.Unlock()
	_ = j.Sync()
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
			j.reserved = 0 // truncating gave it back
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
	for {
		f := j.file()
		err := datasync(f)
		if errors.Is(err, os.ErrClosed) && j.file() != f {
			continue // Compact replaced it meanwhile
		}
		if err != nil {
			return fmt.Errorf("cannot sync the cold path's journal: %w", err)
		}
		return nil
	}
}

func (j *Journal) file() *os.File {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.f
}

// datasync keeps the descriptor from being closed, and given to another file, meanwhile.
func datasync(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var synced error
	return errors.Join(c.Control(func(fd uintptr) { synced = unix.Fdatasync(int(fd)) }), synced)
}

// Close closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.syncing != nil {
		j.syncing.Stop()
	}
	return j.f.Close()
}
