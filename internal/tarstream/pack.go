package tarstream

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// PackOptions say how.
type PackOptions struct {
	Follow   bool // when path itself is a symbolic link, what it leads to
	Progress *Progress
	Note     Note
}

// Pack writes what is at name. A file that becomes shorter while it is read is an error: what is
// sent is as long as was promised, or not sent.
func Pack(w io.Writer, name string, o PackOptions) error {
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	p := &packer{PackOptions: o, tar: tar.NewWriter(w), linked: map[inode]string{}, shown: name}
	if err := p.top(name); err != nil {
		return err
	}
	return p.tar.Close()
}

type packer struct {
	PackOptions
	tar    *tar.Writer
	linked map[inode]string // the first name of each file that has several
	shown  string           // what was asked for, in errors
	buffer buffer
}

type inode struct{ dev, ino uint64 }

// top packs what was asked for, and finds out what that is called.
func (p *packer) top(name string) error {
	if name == "" {
		return errors.New("cannot copy a path that is empty")
	}
	all := contents(name)
	look := os.Lstat
	if p.Follow || all || strings.HasSuffix(name, "/") {
		look = os.Stat
	}
	info, err := look(name)
	if err != nil {
		return p.fail(err)
	}
	as := "."
	if !all {
		whole, err := filepath.Abs(name)
		if err != nil {
			return p.fail(err)
		}
		if as = filepath.Base(whole); as == "/" {
			as = "."
		}
	}
	if info.IsDir() {
		root, err := os.OpenRoot(name)
		if err != nil {
			return p.fail(err)
		}
		defer root.Close()
		return p.dir(root, as, info)
	}
	if all || strings.HasSuffix(name, "/") {
		return p.fail(syscall.ENOTDIR)
	}
	if !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink {
		return p.fail(errors.New(noFile))
	}
	dir := filepath.Dir(name)
	if info.Mode().IsRegular() { // perhaps at the end of a link
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return p.fail(err)
		}
		dir = filepath.Dir(name)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return p.fail(err)
	}
	defer root.Close()
	return p.entry(root, filepath.Base(name), as)
}

func (p *packer) fail(err error) error {
	return fmt.Errorf("cannot read %q: %w", p.shown, reason(err))
}

// reason is an error without the names that have been said.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

func (p *packer) header(as string, info fs.FileInfo) *tar.Header {
	h := &tar.Header{Format: tar.FormatPAX, Name: as, Mode: int64(info.Mode() & permissions), ModTime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		h.Uid, h.Gid = int(st.Uid), int(st.Gid)
	}
	return h
}

// batch is how many names of a directory are in memory at a time.
const batch = 1024

func (p *packer) dir(root *os.Root, as string, info fs.FileInfo) error {
	h := p.header(as+"/", info)
	h.Typeflag = tar.TypeDir
	if err := p.tar.WriteHeader(h); err != nil {
		return p.cannot(as, err)
	}
	p.Progress.Files.Add(1)
	d, err := root.Open(".")
	if err != nil {
		return p.cannot(as, err)
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(batch)
		for _, e := range entries {
			if err := p.entry(root, e.Name(), path.Join(as, e.Name())); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return p.cannot(as, err)
		}
	}
}

func (p *packer) cannot(as string, err error) error {
	return fmt.Errorf("cannot read %q: %w", as, reason(err))
}

// entry packs one name of a directory. One that has gone meanwhile is not there.
func (p *packer) entry(root *os.Root, name, as string) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return p.cannot(as, err)
	}
	switch info.Mode().Type() {
	case 0:
		return p.file(root, name, as)
	case fs.ModeDir:
		sub, err := root.OpenRoot(name)
		if err != nil {
			return p.cannot(as, err)
		}
		defer sub.Close()
		return p.dir(sub, as, info)
	case fs.ModeSymlink:
		h := p.header(as, info)
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = root.Readlink(name); err != nil {
			return p.cannot(as, err)
		}
		if err := p.tar.WriteHeader(h); err != nil {
			return p.cannot(as, err)
		}
		p.Progress.Files.Add(1)
		return nil
	}
	if p.Note != nil {
		p.Note(as, noFile)
	}
	return nil
}

func (p *packer) file(root *os.Root, name, as string) error {
	// O_NONBLOCK: it may have become a FIFO since it was looked at.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return p.cannot(as, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it has changed into something else")
	}
	if err != nil {
		return p.cannot(as, err)
	}
	h := p.header(as, info)
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := p.linked[id]; ok {
			h.Typeflag, h.Size, h.Linkname = tar.TypeLink, 0, first
		} else {
			p.linked[id] = as
		}
	}
	var content io.Reader = f
	if h.Typeflag == tar.TypeReg && isMadeWhenRead(f) {
		b, err := readMade(f)
		if err != nil {
			return p.cannot(as, err)
		}
		content, h.Size = bytes.NewReader(b), int64(len(b))
	}
	if err := p.tar.WriteHeader(h); err != nil {
		return p.cannot(as, err)
	}
	n, err := p.buffer.copy(counted{p.tar, p.Progress}, io.LimitReader(content, h.Size))
	if err == nil && n < h.Size {
		err = errors.New("it became shorter while it was read; copy it again when it is at rest")
	}
	if err != nil {
		return p.cannot(as, err)
	}
	p.Progress.Files.Add(1)
	return nil
}

// counted counts what goes through.
type counted struct {
	to io.Writer
	p  *Progress
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.p.Bytes.Add(int64(n))
	return n, err
}
