package layers

import (
	"archive/tar"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Visible calls f with every entry that the image shows, from the uppermost layer to the
// lowest: one hidden by a layer above, or taken away by one, is left out.
func Visible(img v1.Image, f func(e Entry, layer int, r io.Reader) error) error {
	all, err := img.Layers()
	if err != nil {
		return fmt.Errorf("cannot read the image's layers: %w", err)
	}
	var (
		seen   = map[string]bool{} // shown, or gone: what lies below is hidden
		closed = map[string]bool{} // what lies below in this folder is hidden
	)
	for i := len(all) - 1; i >= 0; i-- {
		// What a layer takes away is what was there before it: its own entries stay.
		var gone, closing []string
		err := Each(all[i], func(e Entry, r io.Reader) error {
			switch {
			case e.Gone:
				gone = append(gone, e.Path)
				return nil
			case e.Opaque:
				closing = append(closing, e.Path)
				return nil
			case seen[e.Path] || above(e.Path, func(dir string) bool { return closed[dir] }):
				return nil
			}
			seen[e.Path] = true
			if e.Typeflag != tar.TypeDir {
				closing = append(closing, e.Path) // a folder of that name below is hidden with all in it
			}
			return f(e, i, r)
		})
		if err != nil {
			return err
		}
		for _, p := range gone {
			seen[p], closed[p] = true, true
		}
		for _, p := range closing {
			closed[p] = true
		}
	}
	return nil
}
