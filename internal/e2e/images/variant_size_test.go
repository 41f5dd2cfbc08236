//go:build variants

package images

import (
	"maps"
	"slices"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// The most that a variant may add to core, in bytes.
var variantLimits = map[string]int64{"data": 130e6, "media": 420e6, "ml": 1300e6}

// Every image must be there: make all. base's and core's own limits are TestImageSizes'.
func TestVariantSizes(t *testing.T) {
	core := harness.Inspect(t, catalog.Reference("", "core", "")).Size
	for _, name := range slices.Sorted(maps.Keys(variantLimits)) {
		t.Run(name, func(t *testing.T) {
			ref := catalog.Reference("", name, "")
			added := harness.Inspect(t, ref).Size - core
			if limit := variantLimits[name]; added > limit {
				t.Errorf("%s adds %d MB to core, at most %d are allowed; sandbox images size %s shows what grew", ref, added/1e6, limit/1e6, name)
			}
			t.Logf("%s adds %d MB to core", ref, added/1e6)
		})
	}
}
