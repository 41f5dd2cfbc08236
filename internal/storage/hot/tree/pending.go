package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Pending is a file or a symbolic link that has not got its name yet. Exactly one of
// Commit, Replace and Abort ends it; Abort after another is nothing.
type Pending struct {
	dir      *Dir
	closeDir bool
	name     string
	temp     string
	fd       int // -1 for a symbolic link
	at       int64
	marks    marks
}

var (
	_ io.Writer   = (*Pending)(nil)
	_ io.WriterAt = (*Pending)(nil)
	_ io.ReaderAt = (*Pending)(nil)
)

// createMode is the mode of a file while it has no name: no other process reads it.
const createMode = 0o600

// Create starts a regular file in this directory, which must stay open until the
// file is ended. Nothing has the file's name before Commit or Replace.
func (d *Dir) Create(name string) (*Pending, error) {
	if err := checkName("create", d.path, name); err != nil {
		return nil, err
	}
	// The temporary name is short, so the real one is tried against the limit
	// here: not after gigabytes have come.
	if len(name) > NameMax {
		return nil, pathError("create", Join(d.path, name), unix.ENAMETOOLONG)
	}
	temp := d.root.tempName()
	fd, err := openat(d.fd, temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, createMode)
	if err != nil {
		return nil, pathError("create", Join(d.path, name), err)
	}
	return &Pending{dir: d, name: name, temp: temp, fd: fd}, nil
}

// CreateSymlink starts a symbolic link; its target is stored, never looked at.
func (d *Dir) CreateSymlink(name, target string) (*Pending, error) {
	if err := checkName("symlink", d.path, name); err != nil {
		return nil, err
	}
	temp := d.root.tempName()
	if err := unix.Symlinkat(target, d.fd, temp); err != nil {
		return nil, pathError("symlink", Join(d.path, name), err)
	}
	return &Pending{dir: d, name: name, temp: temp, fd: -1}, nil
}

// Write appends.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.WriteAt(b, p.at)
	p.at += int64(n)
	return n, err
}

// WriteAt writes b at off; several may run at once. Long runs of zeros are left out where
// nothing was written before, so that a sparse file arrives sparse: call Truncate with the
// final size.
func (p *Pending) WriteAt(b []byte, off int64) (int, error) {
	for done := 0; done < len(b); {
		at := off + int64(done)
		piece := b[done:min(int64(len(b)), int64(done)+slot-at%slot)]
		if err := p.writePiece(piece, at, p.marks.fresh(at, int64(len(piece)))); err != nil {
			return done, p.wrap("write", err)
		}
		done += len(piece)
	}
	return len(b), nil
}

// writePiece writes b; where nothing was written before (fresh), zeros are left out.
func (p *Pending) writePiece(b []byte, off int64, fresh bool) error {
	for len(b) > 0 {
		skip, take := 0, len(b)
		if fresh {
			skip, take = run(b)
		}
		if err := pwrite(p.fd, b[skip:skip+take], off+int64(skip)); err != nil {
			return err
		}
		b, off = b[skip+take:], off+int64(skip+take)
	}
	return nil
}

// WriteAll writes the whole content of a file that has none.
func (p *Pending) WriteAll(b []byte) error {
	if err := p.writePiece(b, 0, true); err != nil {
		return p.wrap("write", err)
	}
	if len(b) < holeMin {
		return nil
	}
	return p.Truncate(int64(len(b))) // the end may be a hole
}

// ReadAt reads back what was written.
func (p *Pending) ReadAt(b []byte, off int64) (int, error) {
	for n := 0; ; {
		m, err := unix.Pread(p.fd, b[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, p.wrap("read", err)
		}
		if n += m; n == len(b) {
			return n, nil
		}
		if m == 0 {
			return n, io.EOF
		}
	}
}

// Truncate sets the size, which what was written never exceeds.
func (p *Pending) Truncate(size int64) error {
	return p.wrap("truncate", ignoringEINTR(func() error { return unix.Ftruncate(p.fd, size) }))
}

// Commit gives the file its attributes and its name, and says what lstat(2) says of
// it then. A name that is taken stays as it is: fs.ErrExist.
func (p *Pending) Commit(a Attr) (Info, error) {
	return p.finish(a, func() error { return renameNew(p.dir.fd, p.temp, p.dir.fd, p.name) })
}

// Replace is Commit in the place of the file or symbolic link that seen describes. If
// that is not what has the name any more, it stays, and the error is ErrChanged.
func (p *Pending) Replace(a Attr, seen Info) (Info, error) {
	return p.finish(a, func() error { return p.dir.exchange(p.temp, p.name, seen) })
}

func (p *Pending) finish(a Attr, rename func() error) (Info, error) {
	i, err := p.tryFinish(a, rename)
	if err != nil {
		return Info{}, errors.Join(p.wrap("commit", err), p.Abort())
	}
	p.temp = ""
	return i, errors.Join(p.wrap("close", p.release()))
}

func (p *Pending) tryFinish(a Attr, rename func() error) (Info, error) {
	if err := p.setAttr(a); err != nil {
		return Info{}, err
	}
	if err := rename(); err != nil {
		return Info{}, err
	}
	// After the rename, which moves ctime. What the file was given, not what it may
	// have become in this very moment, is what the caller knows to be in S3.
	i, err := p.lstat()
	if err != nil {
		return Info{}, fmt.Errorf("stat after rename: %w", err)
	}
	return i, nil
}

func (p *Pending) setAttr(a Attr) error {
	if p.fd < 0 {
		if err := p.dir.own(p.temp); err != nil {
			return err
		}
		return p.dir.setTimes(p.temp, a)
	}
	if o := p.dir.root.owner; o != nil {
		if err := unix.Fchown(p.fd, o.uid, o.gid); err != nil {
			return err
		}
	}
	if a.perm() != createMode {
		if err := unix.Fchmod(p.fd, a.perm()); err != nil {
			return err
		}
	}
	return futimens(p.fd, a)
}

func (p *Pending) lstat() (Info, error) {
	if p.fd < 0 {
		return p.dir.Lstat(p.name)
	}
	return Fstat(uintptr(p.fd))
}

// Abort removes the temporary name.
func (p *Pending) Abort() error {
	if p.temp == "" {
		return nil
	}
	err := unix.Unlinkat(p.dir.fd, p.temp, 0)
	p.temp = ""
	return errors.Join(p.wrap("remove", err), p.release())
}

// release closes the descriptors. close(2) can bring a late write error (NFS, quotas).
func (p *Pending) release() error {
	var err error
	if p.fd >= 0 {
		err = unix.Close(p.fd)
		p.fd = -1
	}
	if p.closeDir {
		p.dir.Close()
		p.closeDir = false
	}
	if err == unix.EINTR {
		return nil // closed all the same on Linux
	}
	return err
}

func (p *Pending) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return err
	}
	return &fs.PathError{Op: op, Path: Join(p.dir.path, p.name), Err: err}
}

func pwrite(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, off)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
