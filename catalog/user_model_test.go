package catalog

import (
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// YAML gives back the white space and letters of a manifest.
func TestUserCatalogKeepsEveryLetter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog.yaml")
	rapid.Check(t, func(t *rapid.T) {
		space := rapid.StringOfN(rapid.SampledFrom([]rune(" \t\n\r")), 0, 4, -1)
		letters := rapid.StringOfN(rapid.SampledFrom([]rune("a#:-'|>\u00a0\u0085\u2028\ufeff\U0001f600é{}[] \u007f")), 0, 6, -1)
		r := mine()
		r.Manifest = space.Draw(t, "before") + `{` + space.Draw(t, "within") + `"x":"` + letters.Draw(t, "letters") + `"}` + space.Draw(t, "after")
		if err := UpdateUser(file, func(u *User) error { u.Put(r); return nil }); err != nil {
			t.Fatal(err)
		}
		u, err := ReadUser(file)
		if err != nil {
			t.Fatal(err)
		}
		if u.Images[0].Manifest != r.Manifest {
			t.Fatalf("%q came back as %q", r.Manifest, u.Images[0].Manifest)
		}
	})
}
