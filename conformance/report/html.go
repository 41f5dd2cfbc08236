package report

import (
	"cmp"
	_ "embed"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/matrx/sandbox/conformance"
	"github.com/matrx/sandbox/contract/spec"
)

//go:embed report.html
var page string

// family is a section of the page.
type family struct {
	Name    string // of the IDs
	Title   string
	Results []conformance.Result
}

// HTML writes one page that needs nothing else: no script is fetched, no font, no image.
func HTML(w io.Writer, r *conformance.Report) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"seconds": func(d time.Duration) string { return d.Round(10 * time.Millisecond).String() },
		"class":   func(s any) string { return strings.ReplaceAll(toString(s), " ", "-") },
		"when":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
		"count":   func(s string) int { return r.Count(conformance.Status(s)) },
		"code":    code,
	}).Parse(page)
	if err != nil {
		return err
	}
	var families []family
	for _, result := range r.Results {
		name, _, _ := strings.Cut(result.ID, "-")
		if len(families) == 0 || families[len(families)-1].Name != name {
			families = append(families, family{Name: name, Title: cmp.Or(spec.FamilyTitle(name), name)})
		}
		last := &families[len(families)-1]
		last.Results = append(last.Results, result)
	}
	return t.Execute(w, struct {
		*conformance.Report
		Families []family
	}{r, families})
}

func toString(s any) string {
	switch v := s.(type) {
	case conformance.Status:
		return string(v)
	case conformance.Verdict:
		return string(v)
	}
	return ""
}

// code sets what stands between backquotes as code; everything is escaped first.
func code(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		if i%2 == 1 {
			b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
			continue
		}
		b.WriteString(template.HTMLEscapeString(part))
	}
	return template.HTML(b.String())
}
