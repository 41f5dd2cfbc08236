package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// The map of a dirty file of which something is missing still: which blocks are here, and
// below which limit the others have to come from the object.
//
//	0   8  "coldmap1"
//	8   8  limit, big endian
//	16  8  size of the object, and so of the bitmap
//	24  -  one bit a block, the first in the lowest bit of the first byte
//
// It is there exactly while something is missing. A byte of it is written after the block
// that it speaks of, and both are in the kernel then: a SIGKILL between the two costs a
// block that is fetched again, never one that is believed to be here.
const (
	mapSuffix = ".map"
	mapMagic  = "coldmap1"
	mapHeader = 24
)

// mapFile is a map that is open; nil: there is none.
type mapFile struct{ fd *os.File }

// createMap writes the map of a file that is becoming dirty.
func (c *Cache) createMap(name string, have bitmap, limit, size int64) (*mapFile, error) {
	fd, err := os.OpenFile(c.dirtyName(name)+mapSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, full(err)
	}
	b := make([]byte, mapHeader, mapHeader+len(have)*8)
	copy(b, mapMagic)
	binary.BigEndian.PutUint64(b[8:], uint64(limit))
	binary.BigEndian.PutUint64(b[16:], uint64(size))
	for i := range have {
		b = binary.LittleEndian.AppendUint64(b, atomic.LoadUint64(&have[i]))
	}
	if err := c.WithRoom(func() error { _, err := fd.WriteAt(b, 0); return err }); err != nil {
		fd.Close()
		os.Remove(fd.Name())
		return nil, full(err)
	}
	return &mapFile{fd}, nil
}

func (m *mapFile) file() *os.File {
	if m == nil {
		return nil
	}
	return m.fd
}

func (m *mapFile) close() {
	if m != nil {
		m.fd.Close()
	}
}

// mark writes the byte that has a block's bit, given the word that will have it.
func (m *mapFile) mark(block int64, word uint64) error {
	if m == nil {
		return nil
	}
	at := block % 64 / 8
	_, err := m.fd.WriteAt([]byte{byte(word >> (at * 8))}, mapHeader+block/64*8+at)
	return full(err)
}

// cut writes a lower limit.
func (m *mapFile) cut(limit int64) error {
	if m == nil {
		return nil
	}
	_, err := m.fd.WriteAt(binary.BigEndian.AppendUint64(nil, uint64(limit)), 8)
	return full(err)
}

func (f *File) dropMap() {
	if f.onDisk != nil {
		f.dropMapOf(f.name)
	}
}

func (f *File) dropMapOf(name string) {
	f.onDisk.close()
	f.onDisk = nil
	os.Remove(f.c.dirtyName(name) + mapSuffix)
	f.named.Store(false)
}

// OpenDirty takes up dirty content that was given back, or that an earlier process left.
func (c *Cache) OpenDirty(name string) (*File, error) {
	c.mu.Lock()
	f := c.dirtied[name]
	if f != nil {
		f.held = true
	}
	c.mu.Unlock()
	if f != nil {
		return f, f.reopen()
	}
	fd, err := os.OpenFile(c.dirtyName(name), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot take up cached content: %w", err)
	}
	info, err := fd.Stat()
	if err != nil {
		fd.Close()
		return nil, fmt.Errorf("cannot take up cached content: %w", err)
	}
	f = c.newFile()
	f.dirty, f.name, f.held = true, name, true
	f.size.Store(info.Size())
	f.fd.Store(fd)
	if err := f.readMap(); err != nil {
		fd.Close()
		return nil, err
	}
	f.account(fd, 0)
	c.mu.Lock()
	c.dirtied[name] = f
	c.mu.Unlock()
	return f, nil
}

// reopen opens again what Return closed.
func (f *File) reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd.Load() != nil {
		return nil
	}
	fd, err := os.OpenFile(f.path(), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cannot take up cached content: %w", err)
	}
	f.fd.Store(fd)
	if !f.whole.Load() {
		m, err := os.OpenFile(f.path()+mapSuffix, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("cannot take up cached content: %w", err)
		}
		f.onDisk = &mapFile{m}
	}
	return nil
}

// readMap takes up the map of a dirty file; without one nothing is missing.
func (f *File) readMap() error {
	fd, err := os.OpenFile(f.c.dirtyName(f.name)+mapSuffix, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		f.whole.Store(true)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot take up cached content: %w", err)
	}
	b, err := io.ReadAll(fd)
	if err != nil || len(b) < mapHeader || !bytes.HasPrefix(b, []byte(mapMagic)) {
		fd.Close()
		return fmt.Errorf("cannot take up cached content: %s: %w", fd.Name(), errors.Join(errDamaged, err))
	}
	limit := int64(binary.BigEndian.Uint64(b[8:]))
	f.limit = min(limit, f.size.Load()) // a kill in Truncate
	size := int64(binary.BigEndian.Uint64(b[16:]))
	if words := (blocks(size) + 63) / 64; size < 0 || f.limit < 0 || f.limit > size || int64(len(b)-mapHeader)/8 < words {
		fd.Close()
		return fmt.Errorf("cannot take up cached content: %s is cut off: %w", fd.Name(), errDamaged)
	}
	f.have = newBitmap(blocks(size))
	for i := range f.have {
		f.have[i] = binary.LittleEndian.Uint64(b[mapHeader+i*8:])
	}
	f.onDisk = &mapFile{fd}
	f.missing = blocks(f.limit) - f.have.count(blocks(f.limit))
	if f.missing == 0 {
		f.dropMap()
		f.whole.Store(true)
	} else if f.limit != limit {
		return f.onDisk.cut(f.limit)
	}
	return nil
}

// dropStrayMaps removes maps whose file never became dirty: a kill in BeginDirty.
func (c *Cache) dropStrayMaps() error {
	d, err := os.ReadDir(filepath.Join(c.dir, "dirty"))
	if err != nil {
		return fmt.Errorf("cannot read the cold path's cache: %w", err)
	}
	for _, e := range d {
		if base, ok := strings.CutSuffix(e.Name(), mapSuffix); ok {
			if _, err := os.Lstat(c.dirtyName(base)); errors.Is(err, os.ErrNotExist) {
				os.Remove(c.dirtyName(e.Name()))
			}
		}
	}
	return nil
}
