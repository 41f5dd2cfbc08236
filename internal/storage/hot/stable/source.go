// Package stable reads one version of a file that others may be writing to: whole, or not
// at all.
//
// A file is first brought to the disk (fdatasync): that makes the kernel write-protect its
// pages, so that a store into a mapped page moves the file's times; into a page that
// is dirty already it would not. (Where no process is left there is no mapping, and the
// disk is not waited for.) From then on the file is the same version as long as
// size, mtime, ctime and inode are. They are compared after every read and before what
// was read is handed on, so that no reader ever gets bytes of two versions.
//
// Times are taken from a clock that ticks every few milliseconds: a write in the same
// tick as the one before it moves nothing. So a file whose ctime is younger than a tick is
// read when the tick is over. On file systems whose times are coarser yet (seconds),
// [Source.Racy] says that the file has to be compared once more, later.
//
// A descriptor follows a file that is renamed, and a later write to it was never at the
// path that is read. So once the version is fixed, after a small file was read, and after a clone
// or a copy, the path must still lead to the file: each content that is handed on was at the path
// at some instant.
//
// What never rests is read from a clone (reflink), or from a copy: one during which the
// stat did not change, or one of a file that only grew and whose copied part was the same
// when it was read a second time. The first reading met the end of the file at some
// instant; each byte of it was the same before and after that instant: so it is the
// file as it was then.
//
// A SQLite database is read with its log applied or its journal rolled back, under SQLite's own
// locks (package sqlite); its Local is the state of all its files. An LMDB environment that never rests
// is copied as of one transaction (package lmdb).
package stable

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/sqlite"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/threads"
)

// ErrMoved is the error of a read during which the file became another version. Settle may
// help; so does trying again when it is quiet.
var ErrMoved = errors.New("the file changed while it was read")

// ErrNotAtRest says that no whole version could be had.
var ErrNotAtRest = errors.New("the file never rests: no moment was found at which it could be read whole")

const (
	// tick is longer than the kernel's clock for file times ever goes without moving
	// (CONFIG_HZ=100: 10 ms).
	tick = 15 * time.Millisecond

	// racy is longer than the ticks of file systems that keep whole seconds; FAT has two,
	// and cannot be a home (it has no modes).
	racy = time.Second

	chunk = 128 << 10
)

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// Options say how to read.
type Options struct {
	// Small is the size up to which a file is read into Buffer, which has room for it.
	Small  int64
	Buffer func(size int) []byte
	// TempDir is for copies of what never rests, CopyMost the size up to which it is copied.
	TempDir  string
	CopyMost int64
	// Quiesced says that no process is left that could write.
	Quiesced bool
	// Now is the clock of the file system's times; nil: time.Now.
	Now func() time.Time
}

func (o *Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// Source is one version of a file.
type Source struct {
	Info tree.Info // of this version

	dir   *tree.Dir
	name  string
	opts  Options
	file  *os.File // the file itself
	copy  *os.File // a clone or a copy of it, once there is one
	small []byte   // or its content
	size  int64
	began time.Time // wall clock, to be compared with ctime
	loose bool      // the content may be newer than Info
	db    *database // nil: a file of its own
}

// Open opens a file's present version. Its errors are those of the file system;
// tree.ErrNotRegular for an entry that is no file, tree.ErrChanged when the path leads elsewhere by now; ErrNotAtRest for a
// database that is locked. With ErrMoved the Source is good for Settle.
func Open(ctx context.Context, d *tree.Dir, name string, o Options) (*Source, error) {
	s, err := open(ctx, d, name, o, (*Source).whenOld)
	for tries := 0; tries < attempts && errors.Is(err, tree.ErrChanged); tries++ {
		// It is replaced more often than a tick is long: no version of it gets that old.
		s, err = open(ctx, d, name, o, (*Source).atOnce)
	}
	return s, err
}

// open opens a file and fixes its version.
func open(ctx context.Context, d *tree.Dir, name string, o Options, fix func(*Source, context.Context) error) (*Source, error) {
	threads.Disk.Enter()
	f, err := d.Open(name)
	isDatabase := err == nil && sqlite.IsFile(d, name, f)
	threads.Disk.Leave()
	if err != nil {
		return nil, err
	}
	s := &Source{dir: d, name: name, opts: o, file: f}
	if isDatabase {
		s.db, fix = new(database), (*Source).fixDatabase
	}
	if err = fix(s, ctx); err != nil && !errors.Is(err, ErrMoved) {
		s.Close()
		return nil, err
	}
	return s, err
}

// whenOld fixes the version that the file is when it is older than a tick.
func (s *Source) whenOld(ctx context.Context) error {
	err := s.begin(ctx, patience)
	if s.size = s.Info.Size; err == nil && s.size <= s.opts.Small {
		err = s.readSmall()
	}
	if err != nil && !errors.Is(err, ErrMoved) {
		return err
	}
	return cmp.Or(s.named(), err)
}

// atOnce fixes the version that the file is now, by a clone or a copy.
func (s *Source) atOnce(ctx context.Context) (err error) {
	if s.Info, err = tree.Fstat(s.file.Fd()); err != nil {
		return err
	}
	if err = s.Settle(ctx); errors.Is(err, ErrNotAtRest) {
		return ErrMoved
	}
	return err
}

// patience is how often the end of a tick is waited for: a file that is written all the
// time is never older than one.
const patience = 3

// begin brings the file to the disk and fixes the version. ErrMoved when it is younger
// than a tick after having waited so many times.
func (s *Source) begin(ctx context.Context, waits int) error {
	for ; ; waits-- {
		threads.Disk.Enter()
		var err error
		if !s.opts.Quiesced { // else no process has it mapped, and a new mapping's first store moves the times
			err = ignoreUnsupported(unix.Fdatasync(int(s.file.Fd())))
		}
		var i tree.Info
		if err == nil {
			i, err = tree.Fstat(s.file.Fd())
		}
		threads.Disk.Leave()
		if err != nil {
			return err
		}
		s.Info, s.began = i, s.opts.now()
		age := s.began.Sub(time.Unix(0, i.Ctime))
		if s.opts.Quiesced || age >= tick || age < -tick {
			return nil // a ctime in the future: the clock was set back, see Racy
		}
		if waits == 0 {
			return ErrMoved
		}
		select {
		case <-time.After(tick - age):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ignoreUnsupported: a file system that cannot sync keeps no dirty pages back either.
func ignoreUnsupported(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

func (s *Source) readSmall() error {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	b := s.opts.Buffer(int(s.Info.Size))[:s.Info.Size]
	n, err := s.file.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return err
	}
	if int64(n) < s.Info.Size {
		return ErrMoved
	}
	if err := s.unmoved(); err != nil {
		return err
	}
	s.small, s.size = b, s.Info.Size
	return nil
}

// named is tree.ErrChanged unless the path leads to the file. Later reads succeed only while
// the file is the version that was fixed before, so that this version is at the path at this
// instant.
func (s *Source) named() error {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	return s.dir.StillAt(s.name, s.Info)
}

// unmoved tells whether the file is still the version that it was.
func (s *Source) unmoved() error {
	i, err := tree.Fstat(s.file.Fd())
	if err != nil {
		return err
	}
	if i.Stat != s.Info.Stat {
		return ErrMoved
	}
	return nil
}

// Size is the content's.
func (s *Source) Size() int64 { return s.size }

// ReadAt reads the version's content, or fails with ErrMoved.
func (s *Source) ReadAt(b []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	short := false
	if left := s.size - off; int64(len(b)) > left {
		b, short = b[:left], true
	}
	n, err := s.readAt(b, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

func (s *Source) readAt(b []byte, off int64) (int, error) {
	if s.small != nil || s.size == 0 {
		return copy(b, s.small[off:]), nil
	}
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	f := io.ReaderAt(s.file)
	switch {
	case s.copy != nil:
		f = s.copy
	case s.db != nil && s.db.image != nil:
		f = s.db.image
	}
	n, err := f.ReadAt(b, off)
	if s.copy == nil {
		if merr := s.unmoved(); merr != nil {
			return 0, merr
		}
	}
	if err == io.EOF {
		err = ErrMoved // shorter than it was, and the stat says that it is not: a file system that lies
	}
	return n, err
}

// Sum reads the content and gives its SHA-256.
func (s *Source) Sum(ctx context.Context) (sum [32]byte, err error) {
	if s.small != nil || s.size == 0 {
		return sha256.Sum256(s.small), nil
	}
	h := sha256.New()
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	b := buf[:]
	for off := int64(0); off < s.size; {
		if ctx.Err() != nil {
			return sum, context.Cause(ctx)
		}
		n, err := s.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return sum, err
		}
		h.Write(b[:n])
		off += int64(n)
	}
	h.Sum(sum[:0])
	return sum, nil
}

// Local is the stat that the journal keeps of the file for this content, Racy while the
// content could be another than the stat says.
func (s *Source) Local() journal.Stat {
	st := s.Info.Stat
	if s.db != nil {
		st = s.db.state
	}
	st.Racy = s.Racy()
	return st
}

// Racy says that the file has to be compared once more when its ctime is older: it may have
// changed after it was read without its times showing it.
func (s *Source) Racy() bool {
	changed := time.Unix(0, s.Info.Ctime)
	if s.db != nil {
		changed = s.db.changed
	}
	return s.loose || s.began.Sub(changed) < racy
}

// Loose says that the content may be newer than Info, however old that is.
func (s *Source) Loose() bool { return s.loose }

// Close lets the file go.
func (s *Source) Close() error {
	if s.copy != nil {
		s.copy.Close()
	}
	if s.db != nil && s.db.image != nil {
		s.db.image.Close()
	}
	return s.file.Close()
}

func (s *Source) fail(what string, err error) error {
	return fmt.Errorf("cannot %s %q: %w", what, tree.Join(s.dir.Path(), s.name), err)
}
