package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Manifest is /etc/sandbox/capabilities.json: what an image says of itself, its
// parents' capabilities included. Its schema is contract.ManifestSchema.
type Manifest struct {
	Name         string            `json:"name"`
	Version      string            `json:"version"`
	Tier         Tier              `json:"tier"`
	Description  string            `json:"description"`
	Capabilities []string          `json:"capabilities"`
	Tools        []string          `json:"tools"`
	ParentImage  *string           `json:"parent_image"` // null for the root of the family
	Contract     Contract          `json:"contract"`
	Access       Access            `json:"default_access_mode"`
	Limits       Limits            `json:"resource_limits"`
	Environment  map[string]string `json:"environment"`
	Languages    []string          `json:"languages"`
	Tasks        []string          `json:"tasks"`
	Versions     map[string]string `json:"versions,omitempty"` // of tools; see Image.Versions

	// Extra are fields that this version does not know. They are kept.
	Extra map[string]json.RawMessage `json:"-"`
}

// Manifest is what goes into an image that was built with the given options, by their
// build arguments.
func (c *Catalog) Manifest(name string, options ...string) (*Manifest, error) {
	im, err := c.Image(name)
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Name: im.Name, Version: im.Version, Tier: im.Tier, Description: im.Description,
		Contract: im.Contract, Access: im.Access, Limits: im.Limits, Environment: map[string]string{},
	}
	if im.Extends != "" {
		parent := Reference("", im.Extends, "")
		m.ParentImage = &parent
	}
	lineage := append([]*Image{im}, c.Ancestors(name)...)
	slices.Reverse(lineage) // the nearest wins where two set the same variable
	for _, a := range lineage {
		m.Capabilities = append(m.Capabilities, a.Capabilities...)
		m.Tools = append(m.Tools, a.Tools...)
		m.Languages = append(m.Languages, a.Languages...)
		m.Tasks = append(m.Tasks, a.Tasks...)
		maps.Copy(m.Environment, a.Environment)
		if len(a.Versions) > 0 && m.Versions == nil {
			m.Versions = map[string]string{}
		}
		maps.Copy(m.Versions, a.Versions)
	}
	for _, arg := range options {
		i := slices.IndexFunc(im.Options, func(o Option) bool { return o.Arg == arg })
		if i < 0 {
			return nil, fmt.Errorf("image %q has no option %q", name, arg)
		}
		m.Capabilities = append(m.Capabilities, im.Options[i].Capabilities...)
		m.Tools = append(m.Tools, im.Options[i].Tools...)
	}
	for _, list := range []*[]string{&m.Capabilities, &m.Tools, &m.Languages, &m.Tasks} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
		if *list == nil {
			*list = []string{}
		}
	}
	return m, nil
}

// manifestFields is Manifest without its methods.
type manifestFields Manifest

// MarshalJSON writes the known fields in the order of the struct, then the unknown ones by name.
func (m *Manifest) MarshalJSON() ([]byte, error) {
	known, err := json.Marshal((*manifestFields)(m))
	if err != nil || len(m.Extra) == 0 {
		return known, err
	}
	var b bytes.Buffer
	b.Write(known[:len(known)-1])
	for _, name := range slices.Sorted(maps.Keys(m.Extra)) {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, ",%s:%s", key, m.Extra[name])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON keeps what it does not know in Extra.
func (m *Manifest) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*manifestFields)(m)); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	known, err := json.Marshal((*manifestFields)(m))
	if err != nil {
		return err
	}
	var mine map[string]json.RawMessage
	if err := json.Unmarshal(known, &mine); err != nil {
		return err
	}
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { _, ok := mine[name]; return ok })
	m.Extra = nil
	if len(all) > 0 {
		m.Extra = all
	}
	return nil
}

// capabilitiesLabel has the names, separated by commas.
const capabilitiesLabel = "dev.matrx.sandbox.capabilities"

// Labels are what the image says without being pulled. They agree with the manifest.
func (m *Manifest) Labels() map[string]string {
	extends := ""
	if m.ParentImage != nil {
		extends = *m.ParentImage
	}
	return map[string]string{
		"org.opencontainers.image.title":       "matrx-sandbox " + m.Name,
		"org.opencontainers.image.version":     m.Version,
		"org.opencontainers.image.description": m.Description,
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"variant":                              m.Name,
		"description":                          m.Description,
		"dev.matrx.sandbox.name":               m.Name,
		"dev.matrx.sandbox.tier":               string(m.Tier),
		"dev.matrx.sandbox.extends":            extends,
		"dev.matrx.sandbox.contract":           m.Contract.Version,
		"dev.matrx.sandbox.profile":            m.Contract.Profile,
		capabilitiesLabel:                      strings.Join(m.Capabilities, ","),
	}
}
