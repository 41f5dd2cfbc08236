package cache

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// BlockSize is the unit in which content is here or missing, in bytes: what the kernel asks
// for at once when it reads ahead (VM_READAHEAD_PAGES).
const BlockSize = 128 << 10

// chunkSize is the unit of eviction of a file that is held.
const chunkSize = 16 << 20

// damagedDir is where content goes that cannot be used.
const damagedDir = "damaged"

// maxFiles bounds the clean files, and thereby the memory that knows of them.
const maxFiles = 100_000

// Errors of this package.
var (
	ErrFull     = errors.New("the cold path's cache is full of data that is not yet in S3")
	ErrMissing  = errors.New("a block has to be fetched first")
	errInUse    = errors.New("another process uses this cache")
	errDamaged  = errors.New("the file in the cold path's cache is damaged")
	ErrSnapshot = errors.New("the snapshot was given up: its file was truncated, or there was no room")
)

// ID names a version of an object.
type ID [16]byte

// VersionID is the ID of an object's version.
func VersionID(key, etag string, size int64) ID {
	h := sha256.New()
	for _, s := range []string{key, etag} {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Write(binary.AppendVarint(nil, size))
	var id ID
	copy(id[:], h.Sum(nil))
	return id
}

// Options of Open.
type Options struct {
	Dir    string // made when it is not there; must be the caller's alone
	Max    int64  // bytes; 0: a tenth of the disk
	BootID string // of this boot of the kernel; another one than last time drops clean content
	Log    *slog.Logger
}

// Cache is a directory of Files.
type Cache struct {
	dir  string
	max  int64
	log  *slog.Logger
	lock *os.File

	bootID   string
	rebooted bool

	mu      sync.Mutex
	used    int64 // bytes of clean and dirty content, reservations included
	dirty   int64 // of these, dirty
	clean   map[ID]*File
	dirtied map[string]*File // by name
	lru     list.List        // of *chunk, most recently used first
	changed chan struct{}    // closed and replaced whenever bytes became free or evictable
}

// Open takes hold of a cache directory. errInUse when another process has it.
func Open(o Options) (*Cache, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{dir: o.Dir, max: o.Max, log: o.Log, bootID: o.BootID, clean: map[ID]*File{}, dirtied: map[string]*File{}, changed: make(chan struct{})}
	for _, d := range []string{"clean", "partial", "dirty", "tmp"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the cold path's cache: %w", err)
		}
	}
	if err := c.takeLock(); err != nil {
		return nil, err
	}
	if c.max == 0 {
		var st unix.Statfs_t
		if err := unix.Statfs(o.Dir, &st); err != nil {
			return nil, fmt.Errorf("cannot size the cold path's cache: statfs %s: %w", o.Dir, err)
		}
		c.max = max(int64(st.Blocks)*int64(st.Bsize)/10, 4*BlockSize)
	}
	if err := c.checkBoot(); err != nil {
		return nil, err
	}
	return c, c.scan()
}

// takeLock keeps a second process out: flock(2) goes with the process, however it ends.
func (c *Cache) takeLock() error {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot lock the cold path's cache: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return fmt.Errorf("cannot use %s: %w", c.dir, errInUse)
		}
		return fmt.Errorf("cannot lock the cold path's cache %s: %w", c.dir, err)
	}
	c.lock = f
	return nil
}

// checkBoot drops clean content that an earlier boot of the machine left behind.
func (c *Cache) checkBoot() error {
	was, err := os.ReadFile(filepath.Join(c.dir, "boot_id"))
	if err == nil && string(was) == c.bootID {
		return nil
	}
	c.rebooted = err == nil
	if err := os.RemoveAll(filepath.Join(c.dir, "clean")); err != nil {
		return fmt.Errorf("cannot drop what an earlier boot left in the cold path's cache: %w", err)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "clean"), 0o700); err != nil {
		return fmt.Errorf("cannot make the cold path's cache: %w", err)
	}
	return nil
}

// Recovered notes that this boot of the machine has judged what the one before it left. A process
// that dies before that leaves the judgement to the next.
func (c *Cache) Recovered() error {
	if was, err := os.ReadFile(filepath.Join(c.dir, "boot_id")); err == nil && string(was) == c.bootID {
		return nil // so that a process starts on a full disk
	}
	if err := os.WriteFile(filepath.Join(c.dir, "boot_id"), []byte(c.bootID), 0o600); err != nil {
		return fmt.Errorf("cannot note this boot of the machine in the cold path's cache: %w", err)
	}
	return nil
}

// Rebooted says that the machine was started anew since this cache was used: dirty content
// that was not synced may be torn.
func (c *Cache) Rebooted() bool { return c.rebooted }

// Dir is where the cache is; its owner may keep a journal beside it.
func (c *Cache) Dir() string { return c.dir }

// Close lets go of the directory. Files that are held must not be used afterwards.
func (c *Cache) Close() error { return c.lock.Close() }

// Used gives the bytes on disk, those of them that are dirty, and the most there may be.
func (c *Cache) Used() (used, dirty, limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used, c.dirty, c.max
}

// Whole says that all of a version of an object is here.
func (c *Cache) Whole(id ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.clean[id]
	return f != nil && f.whole.Load()
}

// Changed is closed when bytes became free, or clean and thereby evictable, after the call.
func (c *Cache) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *Cache) notify() { // with c.mu
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Cache) cleanName(id ID) string {
	h := hex.EncodeToString(id[:])
	return filepath.Join(c.dir, "clean", h[:2], h)
}

func (c *Cache) partialName(id ID) string {
	return filepath.Join(c.dir, "partial", hex.EncodeToString(id[:]))
}

func (c *Cache) dirtyName(name string) string { return filepath.Join(c.dir, "dirty", name) }

// DirtyNames are the dirty files on disk. The caller drops one that no pending change needs
// with RemoveDirty.
func (c *Cache) DirtyNames() ([]string, error) {
	d, err := os.ReadDir(filepath.Join(c.dir, "dirty"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the cold path's cache: %w", err)
	}
	var names []string
	for _, e := range d {
		if !strings.HasSuffix(e.Name(), mapSuffix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// RemoveDirty drops a dirty file that is not held. Its blocks are freed in the background: for a large file
// that takes longer than callers hold their locks.
func (c *Cache) RemoveDirty(name string) error {
	aside := filepath.Join(c.dir, "tmp", name)
	err := os.Rename(c.dirtyName(name), aside)
	switch {
	case err == nil:
		go os.Remove(aside)
	case !errors.Is(err, os.ErrNotExist): // a full disk refuses a rename, and never a removal
		err = os.Remove(c.dirtyName(name))
	}
	if e := os.Remove(c.dirtyName(name) + mapSuffix); err == nil && !errors.Is(e, os.ErrNotExist) {
		err = e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.dirtied[name]; f != nil {
		c.used -= f.bytes
		c.dirty -= f.bytes
		f.bytes = 0
		delete(c.dirtied, name)
		c.notify()
	}
	return err
}

// SetAside moves a dirty file that is not held, with its map, out of the way of everything: to the
// directory "damaged", where it does not count as cached and nothing but its user removes it. It
// gives the file's new name.
func (c *Cache) SetAside(name string) (string, error) {
	dir := filepath.Join(c.dir, damagedDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	to := filepath.Join(dir, name)
	if err := os.Rename(c.dirtyName(name), to); err != nil {
		return "", err
	}
	if err := os.Rename(c.dirtyName(name)+mapSuffix, to+mapSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return to, err
	}
	if err := c.RemoveDirty(name); err != nil && !errors.Is(err, os.ErrNotExist) { // for the books
		return to, err
	}
	return to, nil
}
