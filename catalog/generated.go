package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

//go:generate go run ./gen ../

// Generated derives, from the image.yaml files, the files of the repository that a
// plain `docker build` reads: images/NAME/capabilities.json, and the Dockerfiles with
// their labels, and catalog/family.json. Keys are paths below root, the repository that the catalog was loaded
// from. What is generated is committed, and a test holds it equal to this.
func (c *Catalog) Generated(root fs.FS) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range c.Names() {
		m, err := c.Manifest(name)
		if err != nil {
			return nil, err
		}
		text, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("cannot write the manifest of %s: %w", name, err)
		}
		out["images/"+name+"/capabilities.json"] = append(text, '\n')

		file, err := dockerfile(root, name)
		if err != nil {
			return nil, err
		}
		before := out[file] // Dockerfile.core has more than one image
		if before == nil {
			if before, err = fs.ReadFile(root, file); err != nil {
				return nil, err
			}
		}
		if out[file], err = withLabels(before, name, m.Labels(), c.images[name].Options); err != nil {
			return nil, fmt.Errorf("cannot label %s in %s: %w", name, file, err)
		}
	}
	family, err := c.familyFile()
	if err != nil {
		return nil, err
	}
	out["catalog/family.json"] = family
	return out, nil
}

// dockerfile is the path of the file that builds an image: its own, or Dockerfile.core
// for those that have none.
func dockerfile(root fs.FS, name string) (string, error) {
	own := "images/" + name + "/Dockerfile"
	switch _, err := fs.Stat(root, own); {
	case err == nil:
		return own, nil
	case errors.Is(err, fs.ErrNotExist):
		return "Dockerfile.core", nil
	default:
		return "", err
	}
}

// withLabels replaces the block of labels of one image. The lines around it stay, among
// them the ARGs of its options: what an option brings is in the label when it is given.
func withLabels(dockerfile []byte, name string, labels map[string]string, options []Option) ([]byte, error) {
	var optional strings.Builder
	for _, o := range options {
		if len(o.Capabilities) > 0 {
			fmt.Fprintf(&optional, "${%s:+,%s}", o.Arg, strings.Join(o.Capabilities, ","))
		}
	}
	begin := fmt.Sprintf("# labels of %s, generated from its image.yaml\n", name)
	const end = "# end of labels\n"
	head, rest, ok := bytes.Cut(dockerfile, []byte(begin))
	if !ok {
		return nil, fmt.Errorf("it has no line %q, after which the labels go", strings.TrimSpace(begin))
	}
	_, tail, ok := bytes.Cut(rest, []byte(end))
	if !ok {
		return nil, fmt.Errorf("it has no line %q", strings.TrimSpace(end))
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(begin)
	b.WriteString("LABEL")
	for i, key := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteString(" \\\n     ")
		}
		more := ""
		if key == capabilitiesLabel {
			more = optional.String()
		}
		fmt.Fprintf(&b, ` %s="%s%s"`, key, quoteLabel.Replace(labels[key]), more)
	}
	b.WriteString("\n" + end)
	b.Write(tail)
	return b.Bytes(), nil
}

// quoteLabel escapes what means something between double quotes in a Dockerfile
// (Dockerfile reference, "Environment replacement"). A label is one line.
var quoteLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", " ")
