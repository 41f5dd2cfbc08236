package s3server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3response"
	"golang.org/x/sys/unix"
)

// A sandbox makes a file of 3 GB with one system call, and its object is 3 GB of zeros. They
// take no room here: where an object or a part has minHole zeros in blocks of the file
// system, it has a hole. Until it is whole, one object or part takes its full length.

// minHole keeps a file of few zeros in one piece.
const minHole = 64 << 10

const holeBlock = 4 << 10

// PutObject makes the holes before the object has its name.
func (g guarded) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	return g.Posix.PutObjectWithPostFunc(ctx, in, dig)
}

// UploadPart likewise.
func (g guarded) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	return g.Posix.UploadPartWithPostFunc(ctx, in, dig)
}

// CompleteMultipartUpload copies what the parts have besides holes.
func (g guarded) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	return g.Posix.CompleteMultipartUploadWithCopy(ctx, in, func(from, to *os.File) (bool, error) { return true, appendSparse(from, to) })
}

// CopyObject makes the holes afterwards: the backend has no place for it before.
func (g guarded) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	out, err := g.Posix.CopyObject(ctx, in)
	if err == nil {
		g.digAt(*in.Bucket, *in.Key)
	}
	return out, err
}

// UploadPartCopy likewise.
func (g guarded) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	out, err := g.Posix.UploadPartCopy(ctx, in)
	if err == nil {
		upload := filepath.Join(posix.MetaTmpMultipartDir, fmt.Sprintf("%x", sha256.Sum256([]byte(*in.Key))), *in.UploadId)
		g.digAt(*in.Bucket, filepath.Join(upload, strconv.Itoa(int(*in.PartNumber))))
	}
	return out, err
}

// digAt makes holes in a file that is there already. What cannot be done is no error: the
// object is whole. Its time is its Last-Modified and stays.
func (g guarded) digAt(bucket, name string) {
	root, err := os.OpenRoot(g.data)
	if err != nil {
		return
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.Join(bucket, name), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if dig(f) == nil {
		_ = root.Chtimes(filepath.Join(bucket, name), info.ModTime(), info.ModTime())
	}
}

// dig makes holes of the zeros in a file.
func dig(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() < minHole {
		return err
	}
	buffer := make([]byte, 1<<20)
	var zeros [holeBlock]byte
	var start, end int64 // of the zeros found last
	punch := func() error {
		if end-start < minHole {
			return nil
		}
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, start, end-start)
		if errors.Is(err, unix.EOPNOTSUPP) {
			return nil // a file system without holes
		}
		return err
	}
	for at := int64(0); at < info.Size(); {
		n, err := f.ReadAt(buffer, at)
		if err != nil && err != io.EOF || n == 0 {
			return err
		}
		for off := 0; off < n; off += holeBlock {
			block := buffer[off:min(off+holeBlock, n)]
			if !bytes.Equal(block, zeros[:len(block)]) {
				continue
			}
			if from := at + int64(off); from != end {
				if err := punch(); err != nil {
					return err
				}
				start = from
			}
			end = at + int64(off+len(block))
		}
		at += int64(n)
	}
	return punch()
}

// appendSparse appends a file to another, its holes included. After an error the other is as
// it was, so that the backend's own copy can begin.
func appendSparse(from, to *os.File) (err error) {
	base, err := to.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	info, err := from.Stat()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = to.Truncate(base)
			_, _ = from.Seek(0, io.SeekStart)
			_, _ = to.Seek(base, io.SeekStart)
		}
	}()
	fd := int(from.Fd())
	for at := int64(0); at < info.Size(); {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // the rest is a hole
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err == nil {
			_, err = from.Seek(data, io.SeekStart)
		}
		if err == nil {
			_, err = to.Seek(base+data, io.SeekStart)
		}
		if err == nil {
			_, err = io.CopyN(to, from, hole-data)
		}
		if err != nil {
			return err
		}
		at = hole
	}
	if err := to.Truncate(base + info.Size()); err != nil {
		return err
	}
	_, err = to.Seek(0, io.SeekEnd)
	return err
}
