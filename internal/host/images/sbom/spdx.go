package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// MediaType is that of the document in a registry.
const MediaType = "application/spdx+json"

// document is the part of SPDX 2.3 that is used here (spdx.github.io/spdx-spec/v2.3).
type document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Describes     []string       `json:"documentDescribes"`
	Packages      []spdxPackage  `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID               string     `json:"SPDXID"`
	Name             string     `json:"name"`
	Version          string     `json:"versionInfo,omitempty"`
	Supplier         string     `json:"supplier"`
	DownloadLocation string     `json:"downloadLocation"`
	FilesAnalyzed    bool       `json:"filesAnalyzed"`
	SourceInfo       string     `json:"sourceInfo,omitempty"`
	LicenseConcluded string     `json:"licenseConcluded"`
	LicenseDeclared  string     `json:"licenseDeclared"`
	Copyright        string     `json:"copyrightText"`
	Purpose          string     `json:"primaryPackagePurpose,omitempty"`
	Checksums        []checksum `json:"checksums,omitempty"`
	References       []external `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type external struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

const none = "NOASSERTION"

// Document writes the list of an image. name is the image's, version its own; both, with
// the digest of its configuration, which is the same in an engine and in a registry, name
// the document.
func Document(img v1.Image, name, version string) ([]byte, error) {
	packages, err := find(img)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigName()
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	d := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT",
		Name:      name + "-" + version,
		Namespace: "https://github.com/matrx/sandbox/spdx/" + url.PathEscape(name) + "/" + config.Hex,
		// The document is as old as its image: it has no time of its own.
		Creation:  creation{Created: file.Created.UTC().Format(time.RFC3339), Creators: []string{"Tool: matrx-sandbox"}},
		Describes: []string{"SPDXRef-Image"},
		Packages: []spdxPackage{{
			ID: "SPDXRef-Image", Name: name, Version: version, Supplier: none, DownloadLocation: none,
			LicenseConcluded: none, LicenseDeclared: none, Copyright: none, Purpose: "CONTAINER",
			Checksums: []checksum{{"SHA256", config.Hex}},
		}},
		Relationships: []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"}},
	}
	for _, p := range packages {
		s := spdx(p)
		d.Packages = append(d.Packages, s)
		d.Relationships = append(d.Relationships, relationship{"SPDXRef-Image", "CONTAINS", s.ID})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(d); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// licenseForm is what a simple license expression looks like (SPDX 2.3, annex D); what a
// package says of itself beside that is none.
var licenseForm = regexp.MustCompile(`^[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*$`)

func spdx(p Package) spdxPackage {
	sum := sha256.Sum256([]byte(p.purl()))
	s := spdxPackage{
		// An identifier has letters, digits, dots and dashes alone; the digest keeps two
		// packages apart whose names differ in something else.
		ID:   "SPDXRef-" + p.Kind + "-" + idForm.ReplaceAllString(p.Name, "-") + "-" + hex.EncodeToString(sum[:6]),
		Name: p.Name, Version: p.Version, Supplier: none, DownloadLocation: none, SourceInfo: "/" + p.Source,
		LicenseConcluded: none, LicenseDeclared: none, Copyright: none,
		References: []external{{"PACKAGE-MANAGER", "purl", p.purl()}},
	}
	if p.Kind == "deb" {
		s.Supplier = "Organization: Debian"
	}
	if licenseForm.MatchString(p.License) {
		s.LicenseDeclared = p.License
	}
	return s
}

var idForm = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// purl is the package's URL (github.com/package-url/purl-spec).
func (p Package) purl() string {
	version := ""
	if p.Version != "" {
		version = "@" + escape(p.Version)
	}
	switch p.Kind {
	case "deb":
		return fmt.Sprintf("pkg:deb/debian/%s%s?arch=%s", escape(p.Name), version, p.Arch)
	case "npm", "golang":
		parts := strings.Split(p.Name, "/")
		for i := range parts {
			parts[i] = escape(parts[i])
		}
		return fmt.Sprintf("pkg:%s/%s%s", p.Kind, strings.Join(parts, "/"), version)
	}
	return fmt.Sprintf("pkg:%s/%s%s", p.Kind, escape(p.Name), version)
}

// escape is percent-encoding of all but the unreserved characters, ":" excepted.
func escape(s string) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	return strings.ReplaceAll(s, "%3A", ":")
}

// Count reads a document and says how many packages it lists, by kind.
func Count(data []byte) (map[string]int, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	if d.Version != "SPDX-2.3" || len(d.Packages) == 0 {
		return nil, fmt.Errorf("it is no SPDX 2.3 document, but %q with %d packages", d.Version, len(d.Packages))
	}
	out := map[string]int{}
	for _, p := range d.Packages {
		for _, r := range p.References {
			kind, _, _ := strings.Cut(strings.TrimPrefix(r.Locator, "pkg:"), "/")
			out[kind]++
		}
	}
	return out, nil
}
