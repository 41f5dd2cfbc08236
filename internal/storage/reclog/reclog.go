// Package reclog is the one format of the logs that the storage process keeps on the disk: a
// first line that names the format and its version, then records, each framed by its length and its
// CRC-32C.
//
// # What it promises
//
// A record whose Append returned without an error is in the kernel: a kill of the process at any
// instruction loses no such record. A kill within Append leaves a torn tail, which the next Open
// cuts off; the records before it are whole. Replace keeps the old log whole until the new one has
// taken its name. After a failure to write, the log is as it was before the call.
//
// Nothing is fsynced record by record: after a crash of the host the log may have lost its end, or,
// on some file systems, its whole content. Callers that need more call Sync.
//
// # Format
//
//	magic    the caller's, ends in a newline
//	records  4 bytes length, 4 bytes CRC-32C of the payload (Castagnoli), both little endian; the payload
package reclog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Format is what the logs of one kind have in common.
type Format struct {
	Magic     string // the first line, newline included: names the format and its version
	MaxRecord int    // bytes; a longer payload cannot be appended, and is garbage when read

	// Reserve is how much of the disk is set aside ahead of the log's end, in bytes, so that a
	// disk that fills up leaves room for some more records. 0: none.
	Reserve int64
}

// ErrForeign is the error of a file that has another first line. Nothing of it was changed.
var ErrForeign = errors.New("the file has another format or version")

// errTooLong is the error of a record over Format.MaxRecord.
var errTooLong = errors.New("the record is too long")

const (
	frameSize = 8
	newSuffix = ".new"
	bufSize   = 256 << 10
)

// Log is a log that is open. It is not safe for concurrent use, but see Syncer.
type Log struct {
	format   Format
	path     string
	f        *os.File
	size     int64 // of the magic and the whole records
	reserved int64 // the disk is set aside up to here
	broken   error // the end of the file is not known any more
	frame    []byte
}

// Open opens the log at path, makes it when there is none, hands each record to apply, and cuts off
// what follows the last whole record. apply must not keep the payload. When apply says that a
// record is not to be believed, the log ends before it; when it returns an error, Open does, and
// the file is left as it is. A file that another format's name begins is ErrForeign.
func Open(path string, format Format, apply func(payload []byte) (ok bool, err error)) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Log{format: format, path: path, f: f}
	if err := l.replay(apply); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *Log) replay(apply func([]byte) (bool, error)) error {
	r := bufio.NewReaderSize(l.f, bufSize)
	head := make([]byte, len(l.format.Magic))
	n, err := io.ReadFull(r, head)
	switch {
	case err != nil && !isEnd(err):
		return err
	case string(head[:n]) != l.format.Magic[:n]:
		return ErrForeign
	case n < len(head): // new, or its first write was cut short
		return l.Reset()
	}
	l.size = int64(n)
	var frame [frameSize]byte
	var payload []byte
	for {
		payload, err = l.format.next(r, frame[:], payload)
		if err != nil {
			return err
		}
		if payload == nil {
			break
		}
		ok, err := apply(payload)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		l.size += frameSize + int64(len(payload))
	}
	return l.f.Truncate(l.size)
}

// next reads one record into buf's space. nil, nil is the end of the whole records.
func (f Format) next(r io.Reader, frame, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, unlessEnd(err)
	}
	n := binary.LittleEndian.Uint32(frame)
	if n == 0 || int64(n) > int64(f.MaxRecord) {
		return nil, nil
	}
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, unlessEnd(err)
	}
	if crc32.Checksum(buf, castagnoli()) != binary.LittleEndian.Uint32(frame[4:]) {
		return nil, nil
	}
	return buf, nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // crc32 keeps it

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// unlessEnd keeps an error of the disk apart from the end of the file.
func unlessEnd(err error) error {
	if isEnd(err) {
		return nil
	}
	return err
}

// Size is the size of the log in bytes.
func (l *Log) Size() int64 { return l.size }

// Append writes one record, of 1 to Format.MaxRecord bytes. On an error the log is as it was before.
func (l *Log) Append(payload []byte) error {
	if l.broken != nil {
		return l.broken
	}
	if len(payload) == 0 || len(payload) > l.format.MaxRecord {
		return fmt.Errorf("%w: %d bytes, 1 to %d are allowed", errTooLong, len(payload), l.format.MaxRecord)
	}
	l.frame = appendFrame(l.frame[:0], payload)
	defer func() {
		if cap(l.frame) > 1<<20 { // a rare long one: its memory is not kept
			l.frame = nil
		}
	}()
	l.setAside(int64(len(l.frame)))
	n, err := l.f.WriteAt(l.frame, l.size)
	if err != nil {
		return l.undo(n, err)
	}
	l.size += int64(n)
	return nil
}

func appendFrame(b, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli()))
	return append(b, payload...)
}

// setAside books blocks of the disk ahead. A file system that cannot is no error: the write itself tells.
func (l *Log) setAside(n int64) {
	ahead := l.format.Reserve
	if ahead == 0 || l.size+n+ahead/2 <= l.reserved {
		return
	}
	if unix.Fallocate(int(l.f.Fd()), unix.FALLOC_FL_KEEP_SIZE, l.size, n+ahead) == nil {
		l.reserved = l.size + n + ahead
	}
}

// undo takes a write back that failed after n bytes. A part of a record that stayed would hide the
// records that are appended behind it later.
func (l *Log) undo(n int, err error) error {
	if n == 0 {
		return err
	}
	l.reserved = l.size // the truncation gives the booked blocks back
	if terr := l.f.Truncate(l.size); terr != nil {
		l.broken = fmt.Errorf("%w; the torn record could not be cut off: %w", err, terr)
		return l.broken
	}
	return err
}

// Reset empties the log. The old records are gone at once; Replace keeps them until the new ones are there.
func (l *Log) Reset() error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	l.size, l.reserved = 0, 0
	if _, err := l.f.WriteAt([]byte(l.format.Magic), 0); err != nil {
		return err
	}
	l.size, l.broken = int64(len(l.format.Magic)), nil
	return nil
}

// Replace writes a new log of the records that fill puts, brings it to the disk, and gives it the old
// one's name. On an error the old log stays, and stays open.
func (l *Log) Replace(fill func(put func(payload []byte) error) error) error {
	next, err := Create(l.path, l.format, fill)
	if err != nil {
		return err
	}
	l.f.Close()
	l.f, l.size, l.reserved, l.broken = next.f, next.size, next.size, nil
	return nil
}

// Create writes a log anew over any file at path, as Replace does.
func Create(path string, format Format, fill func(put func(payload []byte) error) error) (*Log, error) {
	f, err := os.OpenFile(path+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Log{format: format, path: path, f: f}
	if err := l.fill(fill); err != nil {
		f.Close()
		os.Remove(path + newSuffix)
		return nil, err
	}
	return l, nil
}

func (l *Log) fill(fill func(put func(payload []byte) error) error) error {
	w := bufio.NewWriterSize(l.f, bufSize)
	w.WriteString(l.format.Magic)
	l.size = int64(len(l.format.Magic))
	err := fill(func(payload []byte) error {
		if len(payload) == 0 || len(payload) > l.format.MaxRecord {
			return fmt.Errorf("%w: %d bytes, 1 to %d are allowed", errTooLong, len(payload), l.format.MaxRecord)
		}
		var frame [frameSize]byte
		binary.LittleEndian.PutUint32(frame[:], uint32(len(payload)))
		binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(payload, castagnoli()))
		l.size += frameSize + int64(len(payload))
		w.Write(frame[:])
		_, err := w.Write(payload)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	// Before the rename: else a crash of the host could leave the name with no content.
	if err := l.f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(l.path+newSuffix, l.path); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(l.path)); err == nil {
		_ = d.Sync() // some file systems cannot: then a crash of the host brings the old log back
		_ = d.Close()
	}
	return nil
}

// Sync returns when the disk has what was appended.
func (l *Log) Sync() error { return l.Syncer()() }

// Syncer gives a function that is Sync for the file as it is now. That function may be called while
// the log is used, so that an Append need not wait for the disk. It returns os.ErrClosed when Replace or
// Close has closed the file.
func (l *Log) Syncer() func() error {
	f := l.f
	return func() error {
		// Through SyscallConn, which keeps the descriptor from being closed and given to another file.
		c, err := f.SyscallConn()
		if err != nil {
			return err
		}
		called, syncErr := false, error(nil)
		err = c.Control(func(fd uintptr) { called, syncErr = true, unix.Fdatasync(int(fd)) })
		if err != nil && !called {
			return fmt.Errorf("%w: %w", os.ErrClosed, err) // internal/poll has an error of its own for that
		}
		return errors.Join(err, syncErr)
	}
}

// Close closes the file.
func (l *Log) Close() error { return l.f.Close() }
