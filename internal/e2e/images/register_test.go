package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract/verdict"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/testbed"
)

const registeredManifest = `{"name":"mine","version":"3.0.0","tier":"variant","description":"x","gpu":{"count":2},"capabilities":["shell","quantum"],"tools":["bash"],
"contract":{"version":"1.0.0","profile":"lifecycle"},"default_access_mode":"full",
"resource_limits":{"memory_mb":64,"cpu_cores":1,"timeout_seconds":1,"max_processes":1}}`

// importImage makes an image of these files alone: nothing in it can run.
func importImage(t *testing.T, ref string, files map[string]string) {
	t.Helper()
	var rootfs bytes.Buffer
	w := tar.NewWriter(&rootfs)
	for name, content := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			h.Typeflag, h.Linkname, h.Size, content = tar.TypeSymlink, to, 0, ""
		}
		w.WriteHeader(h)
		w.Write([]byte(content))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if r := harness.Engine(t, &rootfs, "import", "--change", "LABEL dev.matrx.sandbox.name=other", "-", ref); r.Code != 0 {
		t.Fatalf("cannot make an image: %v", r)
	}
	t.Cleanup(func() { harness.Afterwards(t, "image", "rm", ref) })
}

// An image that cannot even run is registered, since it is only read; and it is not
// selected, unless that is asked for, before the suite has passed it.
func TestSelectRegisteredImage(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	ref := harness.Ref("select-mine")
	importImage(t, ref, map[string]string{"etc/sandbox/capabilities.json": "-> ../../opt/mine.json", "opt/mine.json": registeredManifest})
	o := harness.NewOperator(t)

	if r := o.Do(nil, "images", "register", ref, "--task", "research"); r.Code == 0 || !strings.Contains(r.Stderr, "cannot map "+ref+" to the task research: it cannot do documents") {
		t.Errorf("a mapping to what it cannot do: %v", r)
	}
	if r := o.Do(nil, "images", "register", ref, "--task", "reserch"); r.Code == 0 || !strings.Contains(r.Stderr, "nearest are research") {
		t.Errorf("an unknown task: %v", r)
	}
	if got := o.OK("images", "list", "--registered", "--json"); got != "[]" {
		t.Errorf("what was refused is registered: %s", got)
	}
	r := o.Do(nil, "images", "register", ref, "--task", "scripting", "--task", "compute=quantum", "--runtime", "bash")
	for _, want := range []string{"registered " + ref + ": mine 3.0.0, untested", `the label dev.matrx.sandbox.name is "other", the manifest says "mine"`, `the capability "quantum" is not in the contract's vocabulary`} {
		if r.Code != 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("register says %v, want %q", r, want)
		}
	}
	if left := harness.EngineOK(t, "ps", "--all", "--quiet", "--filter", "ancestor="+ref); left != "" {
		t.Errorf("containers are left: %s", left)
	}
	selected := func(want string, args ...string) {
		t.Helper()
		var s catalog.Selection
		if err := json.Unmarshal([]byte(o.OK(append([]string{"select", "--json"}, args...)...)), &s); err != nil || s.Image != want {
			t.Errorf("select %q gives %s (%s), %v; want %s", args, s.Image, s.Reason, err, want)
		}
	}
	selected("shell", "--task", "scripting")
	selected("base", "--runtime", "bash")
	selected("mine", "--task", "scripting", "--untested")
	selected("mine", "--runtime", "bash", "--untested")
	selected("mine", "--task", "compute", "--untested")
	if r := o.Do(nil, "select", "--task", "compute"); r.Code != 1 || !strings.Contains(r.Stderr, "was never judged by the suite") {
		t.Errorf("a task that only an untested image can do: %v", r)
	}

	// What the suite leaves counts at once.
	var list []struct {
		Name, Digest, Suite string
		GPU                 json.RawMessage
		MappedTo            struct{ Tasks, Runtimes []string } `json:"mapped_to"`
	}
	listed := func(want string) {
		t.Helper()
		if err := json.Unmarshal([]byte(o.OK("images", "list", "--registered", "--json")), &list); err != nil || len(list) != 1 || list[0].Suite != want {
			t.Fatalf("the list is %+v, %v; want the standing %s", list, err, want)
		}
	}
	listed("untested")
	if string(list[0].GPU) != `{"count":2}` || strings.Join(list[0].MappedTo.Tasks, " ") != "compute scripting" || strings.Join(list[0].MappedTo.Runtimes, " ") != "bash" {
		t.Errorf("the list says %+v", list[0])
	}
	dir, err := verdict.Dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := verdict.Save(dir, verdict.Record{Digest: list[0].Digest, Verdict: "conformant", Contract: "1.0.0", Profile: "lifecycle"}); err != nil {
		t.Fatal(err)
	}
	listed("conformant")
	selected("mine", "--task", "scripting")
	selected("mine", "--task", "compute")

	// The suite itself finds that it is none, and a selection says so.
	suite, err := filepath.Abs(filepath.Join(harness.Repository, "bin", "sandbox-conformance"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(suite, ref, "--no-parent", "--only", "PATH-001").CombinedOutput(); err == nil {
		t.Errorf("the suite passes an empty image:\n%s", out)
	}
	listed("not conformant")
	selected("shell", "--task", "scripting")

	if r := o.Do(nil, "images", "unregister", "nobody"); r.Code == 0 || !strings.Contains(r.Stderr, ref) {
		t.Errorf("unregister of what is not there: %v", r)
	}
	o.OK("images", "unregister", "mine")
	if got := o.OK("images", "list", "--registered", "--json"); got != "[]" {
		t.Errorf("after it was taken out: %s", got)
	}
}

// What says nothing of itself, or nonsense, is not registered.
func TestSelectRegisterRefuses(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	o := harness.NewOperator(t)
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"silent":   {map[string]string{"etc/passwd": "x"}, "it has no /etc/sandbox/capabilities.json: COPY a manifest there"},
		"nonsense": {map[string]string{"etc/sandbox/capabilities.json": `{"name":"mine"}`}, "breaks the contract's schema"},
		"circle":   {map[string]string{"etc/sandbox/capabilities.json": "-> capabilities.json"}, "too many"},
	} {
		ref := harness.Ref("select-" + name)
		importImage(t, ref, tc.files)
		if r := o.Do(nil, "images", "register", ref); r.Code == 0 || !strings.Contains(r.Stderr, tc.want) {
			t.Errorf("%s: %v, want %q", name, r, tc.want)
		}
	}
	if r := o.Do(nil, "images", "register", "example.com/e2e-select-nowhere:1", "--from", "engine"); r.Code == 0 || !strings.Contains(r.Stderr, "there is no such image") {
		t.Errorf("an image that there is not: %v", r)
	}
}

// The tests of the Python client, with the Python of core and the program itself.
func TestSelectPythonClient(t *testing.T) {
	program := testbed.Binary(t, "cmd/sandbox")
	client, err := filepath.Abs(filepath.Join(harness.Repository, "sdk/client-python"))
	if err != nil {
		t.Fatal(err)
	}
	options := append([]string{"--volume", client + ":/srv:ro", "--volume", program + ":/opt/sandbox-program:ro", "--env", "SANDBOX_PROGRAM=/opt/sandbox-program", "--workdir", "/srv"}, restricted...)
	if r := harness.InImage(t, catalog.Reference("", "core", ""), options, "python3", "-B", "-m", "unittest", "tests/test_matrx_sandbox.py"); r.Code != 0 {
		t.Errorf("the tests of matrx_sandbox: %v", r)
	}
}
