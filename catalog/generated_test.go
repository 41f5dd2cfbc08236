package catalog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestGeneratedFilesAreCommitted(t *testing.T) {
	const root = ".."
	c, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	files, err := c.Generated(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Errorf("%v: run go generate ./catalog/...", err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s differs from image.yaml: run go generate ./catalog/... (-want +got):\n%s", path, diff)
		}
	}
}

func TestLabelsGoWhereTheDockerfileSays(t *testing.T) {
	root := family(map[string]string{"base": "", "core": "base", "ml": "core"}, map[string]string{"ml": "tasks: [a]\n"})
	block := func(name string) string {
		return "# labels of " + name + ", generated from its image.yaml\nLABEL old=1\n# end of labels\n"
	}
	root["Dockerfile.core"] = &fstest.MapFile{Data: []byte("FROM a AS base\n" + block("base") + "FROM b AS core\n" + block("core") + "USER agent\n")}
	root["images/ml/Dockerfile"] = &fstest.MapFile{Data: []byte("FROM c\n" + block("ml"))}
	c, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := c.Generated(root)
	if err != nil {
		t.Fatal(err)
	}
	core := string(files["Dockerfile.core"])
	for _, want := range []string{"FROM a AS base\n", "FROM b AS core\n", "USER agent\n", `dev.matrx.sandbox.name="base"`, `dev.matrx.sandbox.name="core"`} {
		if strings.Count(core, want) != 1 {
			t.Errorf("Dockerfile.core has %q %d times:\n%s", want, strings.Count(core, want), core)
		}
	}
	if strings.Contains(core, "old=1") || strings.Contains(core, `name="ml"`) {
		t.Errorf("Dockerfile.core keeps old labels or has those of another file:\n%s", core)
	}
	if !strings.Contains(string(files["images/ml/Dockerfile"]), `variant="ml"`) {
		t.Error("images/ml/Dockerfile has no labels")
	}

	delete(root, "images/ml/Dockerfile")
	if _, err := c.Generated(root); err == nil || !strings.Contains(err.Error(), "cannot label ml in Dockerfile.core") {
		t.Errorf("an image without a place for its labels gives %v", err)
	}
}

func TestLabelsAreQuoted(t *testing.T) {
	block := "# labels of a, generated from its image.yaml\n# end of labels\n"
	got, err := withLabels([]byte(block), "a", map[string]string{"k": `a "b" $c \d`, capabilitiesLabel: "x,y"},
		[]Option{{Arg: "WITH_Z", Capabilities: []string{"z", "zz"}}, {Arg: "WITH_TOOL", Tools: []string{"t"}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := ` k="a \"b\" \$c \\d"`; !strings.Contains(string(got), want) {
		t.Errorf("got %s, want %s", got, want)
	}
	// An option's names are there when it is: build arguments mean something in a label.
	if want := `dev.matrx.sandbox.capabilities="x,y${WITH_Z:+,z,zz}"`; !strings.Contains(string(got), want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
