package manifest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/internal/storage/hot/journal"
	"github.com/matrx/sandbox/internal/storage/hot/tree"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/threads"
)

const (
	// contentMax is the largest content that is bundled: at some 0.4 ms for an
	// object's own request, a larger one costs more to move than to ask for.
	contentMax = 128 << 10

	// bundleMax bounds the bundle, whose making costs as much disk as it is large.
	bundleMax = 512 << 20

	// bundleMin is the fewest contents that a bundle is made for: fewer are fetched
	// at once side by side.
	bundleMin = 64
)

// bundleable says whether an object's content may go into a bundle of contents up to limit.
func bundleable(e *journal.Entry, limit int64) bool {
	t := e.Mode & posixattr.TypeMask
	return e.Size > 0 && e.Size <= limit && e.SHA256 != [32]byte{} && (t == posixattr.TypeFile || t == posixattr.TypeSymlink)
}

// reader reads contents of the home that still are what the journal says.
type reader struct {
	root *tree.Root
	dir  *tree.Dir // the directory that was read last
	buf  []byte
}

func (r *reader) close() {
	if r.dir != nil {
		r.dir.Close()
		r.dir = nil
	}
}

// errStale says that the local file is not what S3 holds: it changed, or is going to be uploaded.
var errStale = errors.New("not what S3 holds")

// read gives the content of e, valid until the next call. Only its hash decides: the
// stat may say that the file changed when its content did not.
func (r *reader) read(e *journal.Entry) ([]byte, error) {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	parent, name := tree.Split(e.Path)
	if r.dir == nil || r.dir.Path() != parent {
		r.close()
		d, err := r.root.OpenDir(parent)
		if err != nil {
			return nil, stale(err)
		}
		r.dir = d
	}
	var content []byte
	if e.Mode&posixattr.TypeMask == posixattr.TypeSymlink {
		target, err := r.dir.Readlink(name)
		if err != nil {
			return nil, stale(err)
		}
		content = []byte(target)
	} else {
		f, err := r.dir.Open(name)
		if err != nil {
			return nil, stale(err)
		}
		defer f.Close()
		if r.buf == nil {
			r.buf = make([]byte, contentMax+1)
		}
		n, err := io.ReadFull(f, r.buf[:e.Size+1]) // a byte more than there should be
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		content = r.buf[:n]
	}
	if int64(len(content)) != e.Size || sha256.Sum256(content) != e.SHA256 {
		return nil, errStale
	}
	return content, nil
}

// stale tells what changed or may not be read, which only this content suffers from.
func stale(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, tree.ErrNotRegular) || errors.Is(err, tree.ErrMounted) ||
		tree.IsNotDir(err) || errors.Is(err, unix.EINVAL) {
		return errStale
	}
	return err
}

// spool is a bundle in the making: an unnamed file.
type spool struct {
	file *os.File
	buf  bytes.Buffer
	sum  interface {
		io.Writer
		Sum([]byte) []byte
	}
	size int64
}

func newSpool(dir string) (*spool, error) {
	f, err := unnamed(dir, "bundle")
	if err != nil {
		return nil, err
	}
	return &spool{file: f, sum: sha256.New()}, nil
}

// add appends a content and says where it is.
func (s *spool) add(content []byte) (offset int64, err error) {
	offset = s.size
	s.size += int64(len(content))
	_, _ = s.sum.Write(content) // a hash never fails
	s.buf.Write(content)
	if s.buf.Len() >= 1<<20 {
		err = s.flush()
	}
	return offset, err
}

func (s *spool) flush() error {
	threads.Disk.Enter()
	defer threads.Disk.Leave()
	_, err := s.buf.WriteTo(s.file)
	return err
}

// finish gives the bundle as it will be in S3, without its ETag.
func (s *spool) finish() (*Bundle, error) {
	if err := s.flush(); err != nil {
		return nil, err
	}
	b := &Bundle{Size: s.size}
	s.sum.Sum(b.SHA256[:0])
	return b, nil
}

func (s *spool) close() { s.file.Close() }

// room says whether dir's file system can take size bytes and be none the worse.
func room(dir string, size int64) bool {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return false
	}
	return int64(st.Bavail)*st.Frsize > 2*size+64<<20
}
