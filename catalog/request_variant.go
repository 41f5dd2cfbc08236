package catalog

import "fmt"

// Variant is an image as an orchestrator asks for it: {"variant": "ml", "version": "1.2.0"}.
type Variant struct {
	Variant string `json:"variant"`
	Version string `json:"version,omitempty"` // a tag; "" is DefaultVersion
}

// tagForm is the tag of a reference (OCI Distribution Specification 1.1, "Pulling manifests").
var tagForm = form(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// Variants are the names of the family's images, parents before children.
func (o *Offer) Variants() []string {
	var out []string
	for _, c := range o.images {
		if c.registered == nil {
			out = append(out, c.manifest.Name)
		}
	}
	return out
}

// Resolve is the reference of a variant below a registry's base ("" is none). A variant
// that there is not is a *Refusal with the nearest; whether a registry has the version,
// only the registry can say.
func (o *Offer) Resolve(registry string, v Variant) (string, error) {
	names := o.Variants()
	for _, name := range names {
		if name != v.Variant {
			continue
		}
		if v.Version != "" && !tagForm().MatchString(v.Version) {
			return "", fmt.Errorf("cannot name %s: the version %q is no tag: letters, digits, dots and dashes, as 1.2.0", v.Variant, v.Version)
		}
		return Reference(registry, v.Variant, v.Version), nil
	}
	return "", unknown(AskedVariant, v.Variant, names)
}
