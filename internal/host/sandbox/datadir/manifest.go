package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func (d Dir) manifests() string { return filepath.Join(d.path, "manifests") }

// Manifest is what the image of that ID says of itself, as it was remembered; empty when
// it says nothing. An ID is a digest of the image, so what it says never changes.
func (d Dir) Manifest(imageID string) (content []byte, known bool, err error) {
	content, err = os.ReadFile(d.manifest(imageID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return content, err == nil, err
}

// SetManifest remembers it.
func (d Dir) SetManifest(imageID string, content []byte) error {
	return replace(d.manifest(imageID), content)
}

func (d Dir) manifest(imageID string) string {
	name := strings.NewReplacer(":", "-", "/", "-").Replace(imageID)
	return filepath.Join(d.manifests(), name+".json")
}
