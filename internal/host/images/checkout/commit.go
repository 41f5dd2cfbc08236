package checkout

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// At reads those files of a commit that say how images are built: Dockerfiles, image.yaml,
// go.mod and the Makefile. Others are not there.
func (c Checkout) At(ctx context.Context, commit string) (fs.FS, error) {
	out, err := c.git(ctx, "ls-tree", "-r", "-z", commit)
	if err != nil {
		return nil, err
	}
	var paths, ids []string
	for _, entry := range lines(out) {
		meta, p, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(meta) // mode, type, object
		if !ok || len(fields) != 3 || fields[1] != "blob" || !wanted(p) {
			continue
		}
		paths, ids = append(paths, p), append(ids, fields[2])
	}
	batch, err := c.run(ctx, []byte(strings.Join(ids, "\n")+"\n"), nil, "git", "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	files := snapshot{}
	r := bufio.NewReader(bytes.NewReader(batch))
	for _, p := range paths {
		head, err := r.ReadString('\n') // object, type, size
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of %s: %w", p, commit, err)
		}
		fields := strings.Fields(head)
		size, err := strconv.Atoi(fields[len(fields)-1])
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of %s: git says %q", p, commit, head)
		}
		data := make([]byte, size+1)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, fmt.Errorf("cannot read %s of %s: %w", p, commit, err)
		}
		files[p] = data[:size]
	}
	return files, nil
}

func wanted(p string) bool {
	switch base := path.Base(p); {
	case p == "go.mod" || p == "Makefile" || strings.HasPrefix(p, "Dockerfile"):
		return true
	default:
		return strings.HasPrefix(p, "images/") && (base == "Dockerfile" || base == "image.yaml")
	}
}

// snapshot is a file system of a few small files.
type snapshot map[string][]byte

func (s snapshot) Open(name string) (fs.File, error) {
	data, ok := s[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &file{Reader: bytes.NewReader(data), name: path.Base(name), size: int64(len(data))}, nil
}

type file struct {
	*bytes.Reader
	name string
	size int64
}

func (f *file) Close() error               { return nil }
func (f *file) Stat() (fs.FileInfo, error) { return info{f.name, f.size}, nil }

type info struct {
	name string
	size int64
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return 0o444 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
