package hydrate

import (
	"os"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/posixattr"
)

// A store that keeps no metadata of keys that end in "/": an empty directory is as it was all the same.
func TestMarkerWithoutMetadataIsAsTheManifestKnowsIt(t *testing.T) {
	for name, c := range map[string]struct {
		metadata map[string]string
		mode     os.FileMode
	}{
		"no metadata": {nil, 0o700},
		"its own":     {posixattr.Encode(posixattr.Attr{Mode: 0o040750, Mtime: 1}, ""), 0o750},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			key := h.key("private/")
			mtime := time.Unix(1_700_000_000, 5)
			h.bucket.Put(key, "", posixattr.Encode(posixattr.Attr{Mode: 0o040700, Mtime: mtime.UnixNano()}, ""))
			for _, name := range []string{"a", "z"} {
				h.put(name, "x")
			}
			h.hydrate()
			h.publish()
			h.lose()
			// Made anew, so that the manifest does not vouch for it and it is looked up.
			h.bucket.Delete(key)
			h.bucket.Put(key, "", c.metadata)
			h.hydrate()
			info, err := os.Stat(h.at("private"))
			must(t, err)
			if info.Mode().Perm() != c.mode || c.metadata == nil && !info.ModTime().Equal(mtime) {
				t.Errorf("%v, of %v", info.Mode(), info.ModTime())
			}
		})
	}
}
