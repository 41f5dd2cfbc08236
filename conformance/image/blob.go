package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"strings"
)

// blob is one entry of an export: JSON, or a layer.
type blob struct {
	link  string
	json  []byte
	files []*File
	leaks []Leak
}

// readBlob tells JSON from layers by the first bytes, since the manifest that says which
// is which comes last in some engines' exports.
func readBlob(r io.Reader) (*blob, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var layer io.Reader = br
	switch {
	case len(head) > 0 && (head[0] == '{' || head[0] == '['):
		data, err := io.ReadAll(io.LimitReader(br, 16<<20))
		return &blob{json: data}, err
	case bytes.Equal(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		layer = z
	case len(head) > 0 && head[0] >= '0' && head[0] <= '9':
		// Docker before 25 writes a VERSION file of "1.0" beside each layer.
		_, err := io.Copy(io.Discard, br)
		return &blob{}, err
	}
	return readLayer(layer)
}

func readLayer(r io.Reader) (*blob, error) {
	b := &blob{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		f := &File{
			Path: path.Join("/", h.Name), Type: h.Typeflag, Mode: h.Mode, UID: h.Uid, GID: h.Gid, Size: h.Size, Link: h.Linkname,
			Caps: h.PAXRecords["SCHILY.xattr.security.capability"] != "",
		}
		if h.Typeflag == tar.TypeReg {
			if err := b.look(f, tr); err != nil {
				return nil, err
			}
		}
		b.files = append(b.files, f)
	}
}

// look reads of a file what the checks need: configuration, digests, secrets.
func (b *blob) look(f *File, r io.Reader) error {
	small := f.Size <= keepContent
	switch {
	case small && (strings.HasPrefix(f.Path, "/etc/") || strings.HasPrefix(f.Path, "/opt/sandbox/")):
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		f.Content = data
		f.SHA256 = digest(data)
		b.leaks = append(b.leaks, fileLeaks(f.Path, data)...)
	case f.Size <= maxSecretFile && mayHoldSecret(f.Path):
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		b.leaks = append(b.leaks, fileLeaks(f.Path, data)...)
	case strings.HasPrefix(f.Path, "/usr/local/bin/"):
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return err
		}
		f.SHA256 = hex.EncodeToString(h.Sum(nil))
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
