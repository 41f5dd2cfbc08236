package manifest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// Place says where the two objects are.
type Place struct {
	MetaPrefix string // of the whole key: what the sandbox keeps for itself
	HotPrefix  string // of the whole key: the home's objects
}

// ManifestKey is the manifest's whole key.
func (p Place) ManifestKey() string { return p.MetaPrefix + "hot/manifest" }

// bundlePrefix is what the whole key of every bundle begins with.
func (p Place) bundlePrefix() string { return p.MetaPrefix + "hot/bundle-" }

// BundleKey is a bundle's whole key.
func (p Place) BundleKey(b *Bundle) string { return fmt.Sprintf("%s%x", p.bundlePrefix(), b.SHA256) }

// Load reads the manifest into an unnamed file in dir, where it takes no memory. seal is the lease's. It is
// nil when there is none that can be used, which costs time and nothing else: a
// manifest that is malformed, of another prefix or of a version to come, and one that is archived or
// denied, or for which the store has no proper answer, is said in the log. Other errors are the store's.
func Load(ctx context.Context, store *objectstore.Store, place Place, seal lease.Seal, dir string, log *slog.Logger) (*Manifest, error) {
	body, err := store.Get(ctx, place.ManifestKey(), objectstore.GetOptions{})
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	}
	unusable := func(err error) (*Manifest, error) {
		log.Warn("the manifest cannot be used: every file is fetched by itself", "event", "manifest_unusable", "key", place.ManifestKey(), "error", err)
		return nil, nil
	}
	if isAlone(ctx, err) {
		return unusable(err)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if body.Size > maxManifest {
		return unusable(fmt.Errorf("%w: it has %d bytes", errMalformed, body.Size))
	}
	f, err := unnamed(dir, "manifest")
	if err != nil {
		return unusable(err)
	}
	size, err := body.WriteTo(f)
	if err != nil {
		f.Close()
		if errors.Is(err, objectstore.ErrChecksum) || isLocal(err) || isAlone(ctx, err) {
			return unusable(err)
		}
		return nil, err
	}
	m, err := Decode(f, size)
	if err == nil {
		err = m.check()
	}
	if err == nil && m.Prefix != place.HotPrefix {
		err = fmt.Errorf("%w: it is that of %q", errMalformed, m.Prefix)
	}
	if err != nil {
		f.Close()
		return unusable(err)
	}
	m.ETag = body.ETag
	if isSealed(body.Object, seal) {
		m.AsOf = body.LastModified
	}
	m.close = f.Close
	return m, nil
}

// isAlone says that an error may be the manifest's alone. Where it is every key's, the listing says so.
func isAlone(ctx context.Context, err error) bool {
	return errors.Is(err, objectstore.ErrArchived) || errors.Is(err, objectstore.ErrAccessDenied) ||
		ctx.Err() == nil && (errors.Is(err, objectstore.ErrUnavailable) || errors.Is(err, objectstore.ErrEndpoint))
}

// check decodes every block once, so that a manifest of which any part is wrong is not
// used at all.
func (m *Manifest) check() error {
	for b := range m.blocks {
		if _, err := m.Block(b); err != nil {
			return err
		}
	}
	return nil
}

// unnamed makes a file that is gone when it is closed, however that comes about.
func unnamed(dir, what string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, what+"-*.tmp")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isLocal says that writing the local file failed, not reading from the store.
func isLocal(err error) bool {
	var path *os.PathError
	return errors.As(err, &path)
}
