package sbom

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/matrx/sandbox/internal/testbed/layerstest"
)

const status = `Package: git
Status: install ok installed
Maintainer: A <a@example.com>
Architecture: amd64
Version: 1:2.47.3-0+deb13u1
Depends: libc6,
 libcurl
Description: a
 b
 .
 c

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2026a
`

func sample(t *testing.T) v1.Image {
	t.Helper()
	// A small program which uses another module.
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":   "module example.com/p\n\ngo 1.26.0\n\nrequire example.com/q v1.2.3\n\nreplace example.com/q => ./q\n",
		"main.go":  "package main\n\nimport _ \"example.com/q\"\n\nfunc main() {}\n",
		"q/go.mod": "module example.com/q\n",
		"q/q.go":   "package q\n",
	} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	self := filepath.Join(dir, "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", self, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	executable := layerstest.File("usr/local/bin/program", string(program))
	executable.Mode = 0o755
	script := layerstest.File("usr/bin/script", "#!/bin/sh\n"+strings.Repeat("#", 100))
	script.Mode = 0o755
	notGo := layerstest.File("usr/bin/other", "\x7fELF"+strings.Repeat("x", 100))
	notGo.Mode = 0o755
	return layerstest.Image(t, nil,
		layerstest.Layer(t, layerstest.File("var/lib/dpkg/status", "Package: old\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n")),
		layerstest.Layer(t, layerstest.File("var/lib/dpkg/status", status), executable, script, notGo,
			layerstest.File("usr/lib/python3/dist-packages/Foo_Bar-1.0.dist-info/METADATA", "Metadata-Version: 2.4\nName: Foo_Bar\nVersion: 1.0\nLicense-Expression: MIT OR Apache-2.0\n\nA text.\nName: not this\n"),
			layerstest.File("usr/lib/python3/dist-packages/old.egg-info", "Metadata-Version: 1.0\nName: old\nVersion: 2\n"),
			layerstest.File("usr/lib/node_modules/@scope/a/package.json", `{"name":"@scope/a","version":"3.0.0","license":"ISC"}`),
			layerstest.File("usr/lib/node_modules/a/node_modules/b/package.json", `{"name":"b","version":"4.0.0","license":{"type":"x"}}`),
			layerstest.File("usr/lib/node_modules/a/test/package.json", `{"name":"fixture","version":"1.0.0"}`),
			layerstest.File("usr/lib/node_modules/c/package.json", `broken`)),
	)
}

func TestFind(t *testing.T) {
	found, err := find(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	var got, modules []string
	for _, p := range found {
		if p.Kind == "golang" {
			modules = append(modules, p.Name)
		} else {
			got = append(got, p.purl()+" "+p.License)
		}
	}
	want := []string{
		"pkg:deb/debian/git@1:2.47.3-0%2Bdeb13u1?arch=amd64 ", "pkg:deb/debian/tzdata@2026a?arch=all ",
		"pkg:npm/%40scope/a@3.0.0 ISC", "pkg:npm/b@4.0.0 ",
		"pkg:pypi/foo-bar@1.0 MIT OR Apache-2.0", "pkg:pypi/old@2 ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, want := range []string{"stdlib", "example.com/p", "example.com/q"} {
		if !strings.Contains(strings.Join(modules, " "), want) {
			t.Errorf("the program's modules lack %s: %q", want, modules)
		}
	}
}

func TestDocument(t *testing.T) {
	img := sample(t)
	text, err := Document(img, "matrx-sandbox-x", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Document(img, "matrx-sandbox-x", "1.0.0")
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("the same image gives another document (%v)", err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{d.ID: true}
	for _, p := range d.Packages {
		if ids[p.ID] || idForm.MatchString(p.ID) || p.DownloadLocation == "" || p.LicenseConcluded == "" || p.Copyright == "" {
			t.Errorf("SPDX takes no such package: %+v", p)
		}
		ids[p.ID] = true
	}
	for _, r := range d.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("a relationship of what is not there: %+v", r)
		}
	}
	if d.Creation.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("created %s", d.Creation.Created)
	}
	counts, err := Count(text)
	if err != nil || counts["deb"] != 2 || counts["npm"] != 2 || counts["pypi"] != 2 || counts["golang"] < 3 {
		t.Errorf("counted %v, %v", counts, err)
	}
	for _, broken := range []string{"", "{}", `{"spdxVersion":"SPDX-2.3"}`} {
		if _, err := Count([]byte(broken)); err == nil {
			t.Errorf("%q is a document", broken)
		}
	}
}

func TestADatabaseThatCannotBeReadIsAnError(t *testing.T) {
	img := layerstest.Image(t, nil, layerstest.Layer(t, layerstest.File("var/lib/dpkg/status", "Package: git\nStatus: install ok installed\n\n")))
	if _, err := find(img); err == nil || !strings.Contains(err.Error(), "var/lib/dpkg/status") {
		t.Errorf("a package without a version: %v", err)
	}
}
