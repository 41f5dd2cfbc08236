package check

import (
	"context"
	"encoding/json"

	"github.com/matrx/sandbox/conformance/engine"
	"github.com/matrx/sandbox/conformance/image"
	"github.com/matrx/sandbox/contract"
)

// Manifest is the part of capabilities.json that the suite works with.
type Manifest struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	Tier         string   `json:"tier"`
	Description  string   `json:"description"`
	Capabilities []string `json:"capabilities"`
	Tools        []string `json:"tools"`
	ParentImage  *string  `json:"parent_image"`
	Contract     struct {
		Version string `json:"version"`
		Profile string `json:"profile"`
	} `json:"contract"`
	Versions map[string]string `json:"versions"` // of tools, as exact as they are promised
}

// ManifestOf is the manifest of an image at rest; the error is a Fail.
func ManifestOf(im *image.Image) (*Manifest, error) {
	f := im.Resolve(contract.Capabilities)
	if f == nil {
		return nil, errNoManifest
	}
	return parseManifest(f.Content)
}

var errNoManifest = Fail(contract.Capabilities+" does not exist", "COPY the image's capabilities.json there")

func parseManifest(content []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return nil, Failf("%s is no JSON of the contract's form: %v", contract.Capabilities, err)
	}
	return &m, nil
}

// ReadManifest reads an image's manifest out of a container that is not started: unlike
// Env.Image, it costs nothing in a large image.
func ReadManifest(ctx context.Context, e *engine.Engine, ref string) (*Manifest, error) {
	c, err := e.Create(ctx, engine.Spec{Image: ref})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Remove(context.WithoutCancel(ctx)) }()
	content, err := c.ReadFile(ctx, contract.Capabilities)
	if err != nil {
		return nil, err
	}
	if content == nil {
		return nil, errNoManifest
	}
	return parseManifest(content)
}
