package register

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/contract/spec"
)

// mostManifest is how many bytes a manifest may have. Ours have 2,000.
const mostManifest = 1 << 20

// errNoManifest is an image that says nothing of itself.
var errNoManifest = errors.New("it has no " + contract.Capabilities + ": COPY a manifest there")

// Image is what was read of an image.
type Image struct {
	Digest   string // of its configuration: what docker calls its ID
	Source   string // engine or registry
	SizeMB   int    // unpacked; 0 when only the packed size is known
	Labels   map[string]string
	Manifest []byte
}

// Check holds an image to the contract's schema. It gives the manifest, and what is
// doubtful about it: that does not keep the image out of a catalog, the suite may.
func (im *Image) Check() (*catalog.Manifest, []string, error) {
	if err := validate(im.Manifest); err != nil {
		return nil, nil, fmt.Errorf("%s breaks the contract's schema: %w", contract.Capabilities, err)
	}
	var m catalog.Manifest
	if err := json.Unmarshal(im.Manifest, &m); err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", contract.Capabilities, err)
	}
	current := spec.Current()
	version, err := spec.ParseVersion(m.Contract.Version)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: contract.version: %w", contract.Capabilities, err)
	}
	if version.Major() != current.Version.Major() || version.Compare(current.Version) > 0 {
		return nil, nil, fmt.Errorf("it keeps contract %s, and this program knows %d.0 to %s: use a version of both that fit", version, current.Version.Major(), current.Version)
	}
	if _, err := current.For(m.Contract.Profile, current.Version); err != nil {
		return nil, nil, fmt.Errorf("%s: contract.profile: %w", contract.Capabilities, err)
	}
	return &m, append(im.labels(&m), unknown(&m)...), nil
}

// labels lists where the labels say something else than the manifest. The usual cause is a
// Dockerfile that copies a manifest of its own and keeps its parent's labels.
func (im *Image) labels(m *catalog.Manifest) []string {
	var out []string
	want := m.Labels()
	for _, name := range []string{"dev.matrx.sandbox.name", "dev.matrx.sandbox.contract", "dev.matrx.sandbox.capabilities", "org.opencontainers.image.version"} {
		got, said := im.Labels[name], want[name]
		if strings.HasSuffix(name, "capabilities") {
			got, said = list(got), list(said)
		}
		if got != said {
			out = append(out, fmt.Sprintf("the label %s is %q, the manifest says %q: the suite will not pass it (MAN-004)", name, im.Labels[name], want[name]))
		}
	}
	return out
}

// list is a list of names in an order of its own.
func list(text string) string {
	names := strings.Split(text, ",")
	slices.Sort(names)
	return strings.Join(names, ",")
}

// unknown lists names that the contract's vocabulary does not have: others' images may
// have such, but nothing can prove them.
func unknown(m *catalog.Manifest) []string {
	vocabulary := spec.CurrentVocabulary()
	var out []string
	for _, n := range m.Capabilities {
		if _, ok := vocabulary.Capabilities[n]; !ok {
			out = append(out, fmt.Sprintf("the capability %q is not in the contract's vocabulary: the suite proves nothing of it", n))
		}
	}
	for _, n := range m.Tools {
		if _, ok := vocabulary.Tools[n]; !ok {
			out = append(out, fmt.Sprintf("the tool %q is not in the contract's vocabulary: the suite proves nothing of it", n))
		}
	}
	return out
}
