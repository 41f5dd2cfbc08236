package layers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// pack compresses a layer as a registry gets it. The same layer gives the same bytes.
func pack(w io.Writer, layer v1.Layer) error {
	r, err := layer.Uncompressed()
	if err != nil {
		return fmt.Errorf("cannot read a layer: %w", err)
	}
	defer r.Close()
	z := newPacker(w)
	if _, err := io.Copy(z, r); err != nil {
		return fmt.Errorf("cannot compress a layer: %w", err)
	}
	return z.Close()
}

// newPacker writes no name and no time, so that the same bytes give the same bytes.
func newPacker(w io.Writer) *gzip.Writer { return gzip.NewWriter(w) }

// packed is a layer whose compressed form lies in a file.
type packed struct {
	path   string
	digest v1.Hash
	diffID v1.Hash
	size   int64
	open   func() (io.ReadCloser, error) // not compressed
}

// PackFile compresses a layer into a file of dir, once; what the layer gives afterwards is
// read from there.
func PackFile(dir string, layer v1.Layer) (v1.Layer, error) {
	diffID, err := layer.DiffID()
	if err != nil {
		return nil, err
	}
	p := &packed{path: filepath.Join(dir, diffID.Hex+".tar.gz"), diffID: diffID, open: layer.Uncompressed}
	f, err := os.Create(p.path)
	if err != nil {
		return nil, fmt.Errorf("cannot keep a compressed layer: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	count := &counter{}
	if err := pack(io.MultiWriter(f, sum, count), layer); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("cannot keep a compressed layer: %w", err)
	}
	p.digest, p.size = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, count.n
	return p, nil
}

func (p *packed) Digest() (v1.Hash, error)             { return p.digest, nil }
func (p *packed) DiffID() (v1.Hash, error)             { return p.diffID, nil }
func (p *packed) Size() (int64, error)                 { return p.size, nil }
func (p *packed) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }
func (p *packed) Compressed() (io.ReadCloser, error)   { return os.Open(p.path) }
func (p *packed) Uncompressed() (io.ReadCloser, error) { return p.open() }

// counter counts what is written.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
