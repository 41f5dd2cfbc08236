package publish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/matrx/sandbox/internal/host/images/layers"
)

// Annotations beside those of OCI.
const (
	revision = "org.opencontainers.image.revision"
	created  = "org.opencontainers.image.created"
	baseName = "org.opencontainers.image.base.name"
	baseHash = "org.opencontainers.image.base.digest"
	inputs   = "dev.matrx.sandbox.inputs"
)

// assembled is an image of which the manifest is written here.
type assembled struct {
	config   []byte
	manifest []byte
	layers   map[v1.Hash]v1.Layer
}

func (a *assembled) RawConfigFile() ([]byte, error)      { return a.config, nil }
func (a *assembled) RawManifest() ([]byte, error)        { return a.manifest, nil }
func (a *assembled) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (a *assembled) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if l, ok := a.layers[h]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// manifest is an OCI image manifest with what v1.Manifest does not have.
type manifest struct {
	v1.Manifest
	ArtifactType string `json:"artifactType,omitempty"`
}

func assemble(config []byte, configType types.MediaType, stack []v1.Layer, annotations map[string]string, subject *v1.Descriptor) (v1.Image, error) {
	a := &assembled{config: config, layers: map[v1.Hash]v1.Layer{}}
	digest, size, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, err
	}
	m := manifest{Manifest: v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: annotations, Subject: subject,
		Config: v1.Descriptor{MediaType: configType, Digest: digest, Size: size},
		Layers: []v1.Descriptor{},
	}}
	if subject != nil {
		m.ArtifactType = string(configType)
	}
	for _, l := range stack {
		d, err := partial.Descriptor(l)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, *d)
		a.layers[d.Digest] = l
	}
	if a.manifest, err = json.Marshal(m); err != nil {
		return nil, err
	}
	return partial.CompressedToImage(a)
}

// prepare makes of an engine's image the one that is published. dir takes the compressed
// layers.
func prepare(img v1.Image, annotations map[string]string, dir string) (v1.Image, error) {
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	stack, err := img.Layers()
	if err != nil {
		return nil, err
	}
	var packed []v1.Layer
	for _, l := range stack {
		p, err := layers.PackFile(dir, l)
		if err != nil {
			return nil, err
		}
		packed = append(packed, p)
	}
	return assemble(config, types.OCIConfigJSON, packed, annotations, nil)
}

// annotate makes annotations of an image's labels.
func annotate(config *v1.ConfigFile, more map[string]string) map[string]string {
	out := map[string]string{created: config.Created.UTC().Format(time.RFC3339)}
	for k, v := range config.Config.Labels {
		if strings.HasPrefix(k, "org.opencontainers.image.") || strings.HasPrefix(k, "dev.matrx.sandbox.") {
			out[k] = v
		}
	}
	maps.Copy(out, more)
	maps.DeleteFunc(out, func(_, v string) bool { return v == "" })
	return out
}

// artifact makes an image of a document that refers to another image (OCI Image Format
// Specification 1.1, "Guidelines for Artifact Usage"). Its configuration is empty and of
// the artifact's type, which registries before 1.1 show as the type.
func artifact(data []byte, kind types.MediaType, name string, subject v1.Descriptor) (v1.Image, error) {
	l := static.NewLayer(data, kind)
	return assemble([]byte("{}"), kind, []v1.Layer{l}, map[string]string{"org.opencontainers.image.title": name}, &subject)
}
