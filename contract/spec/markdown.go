package spec

import (
	"fmt"
	"strings"
)

// Markdown is CORE_CONTRACT.md: the contract for people.
func (s *Spec) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The sandbox contract, version %s

What every image promises to the agent that works in it and to the platform that
runs it. The suite in [conformance/](conformance/) proves each requirement;
`+"`sandbox conformance IMAGE`"+` runs it on any image.

This page is generated from [contract/contract.yaml](contract/contract.yaml) by
`+"`go generate ./contract/...`"+`; change it there. MUST, SHOULD and MAY are used as in
RFC 2119. IDs are stable: a released requirement is removed or tightened only by a
new major version.

## Profiles

| profile | requirements | for |
|---|---|---|
`, s.Version)
	for _, p := range s.Profiles {
		rs, _ := s.For(p.Name, s.Version)
		fmt.Fprintf(&b, "| %s | %d | %s |\n", p.Name, len(rs), p.Text)
	}
	family := ""
	for _, r := range s.Requirements {
		if f := r.Family(); f != family {
			family = f
			fmt.Fprintf(&b, "\n## %s\n", familyTitles[f])
		}
		fmt.Fprintf(&b, "\n### %s\n\n**%s** %s\n\n%s\n\n", r.ID, r.Level, r.Text, r.Why)
		fmt.Fprintf(&b, "<sub>profile %s · since %s · %s", r.Profile, r.Since, strings.Join(r.Features, ", "))
		if len(r.Needs) > 0 {
			fmt.Fprintf(&b, " · judged only when %s holds", strings.Join(r.Needs, " and "))
		}
		b.WriteString("</sub>\n")
	}
	return b.String()
}

// FamilyTitle is what a family of requirements is about: "Lifecycle" of "LIFE"; "" for one
// that the contract does not have.
func FamilyTitle(family string) string { return familyTitles[family] }

// familyTitles head the sections; a test holds that every family has one.
var familyTitles = map[string]string{
	"PATH":  "Paths",
	"CMD":   "Commands",
	"PY":    "Python",
	"ENTRY": "Entrypoint",
	"ENV":   "Environment",
	"USER":  "The user",
	"LIFE":  "Lifecycle",
	"EXEC":  "The exec server",
	"HOT":   "The hot path",
	"COLD":  "The cold path",
	"SEC":   "Hardening",
	"MAN":   "Manifest and labels",
	"VAR":   "Images that extend another",
}
