package images

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/contract/spec"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// Every tool and capability that an image names works: as the agent, without a login
// shell, without a network, under the restrictions of an agent's container.
func TestImageToolsWork(t *testing.T) {
	c, err := catalog.Load(os.DirFS(harness.Repository))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary := spec.CurrentVocabulary()
	eachImage(t, func(t *testing.T, name, ref string) {
		m, err := c.Manifest(name)
		if err != nil {
			t.Fatal(err)
		}
		box := harness.Idle(t, ref, restricted...)
		check := func(kind string, names []string, probes map[string]spec.Probe) {
			for _, n := range names {
				t.Run(kind+"/"+n, func(t *testing.T) {
					probe := probes[n]
					r := harness.Engine(t, nil, append([]string{"exec", box}, probe.Run...)...)
					if err := probe.Check(r.Code, r.Stdout+r.Stderr); err != nil {
						t.Error(err)
					}
				})
			}
		}
		check("tool", m.Tools, vocabulary.Tools)
		check("capability", m.Capabilities, vocabulary.Capabilities)
		if names := harness.EngineOK(t, "exec", box, "ls", "-A", contract.DefaultHotPath); names != "" {
			t.Errorf("trying the tools has left %q in the home", names)
		}
	})
}

// A login shell, a shell and a program see the same commands.
func TestImageLoginShellKeepsThePath(t *testing.T) {
	eachImage(t, func(t *testing.T, _, ref string) {
		plain := harness.InImage(t, ref, nil, "printenv", "PATH")
		login := harness.InImage(t, ref, nil, "bash", "-lc", `echo "$PATH"`)
		if plain.Stdout != login.Stdout || plain.Stdout == "" {
			t.Errorf("PATH is %q, and in a login shell %q", plain.Stdout, login.Stdout)
		}
	})
}

// Dockerfiles of others end in USER sandbox; a lookup of UID 1000 gives agent.
func TestImageNamesOfTheAgent(t *testing.T) {
	eachImage(t, func(t *testing.T, _, ref string) {
		r := harness.InImage(t, ref, []string{"--user", "sandbox"}, "bash", "-c", "id -u; id -un; id -G; echo $HOME")
		if want := "1000\nagent\n1000\n/home/agent\n"; r.Stdout != want {
			t.Errorf("as sandbox: got %v, want %q", r, want)
		}
	})
}

// A page that a script finishes, from a server in the sandbox, under the agent's
// restrictions: no user namespaces, no SUID helper, 64 MB of shared memory.
func TestImageBrowser(t *testing.T) {
	box := harness.Idle(t, catalog.Reference("", "core", ""), restricted...)
	const script = `cd "$(mktemp -d)"
cat >index.html <<'END'
<p id=a>six times seven is </p><canvas id=c width=4000 height=4000></canvas>
<script>
  const g = c.getContext("2d"); g.fillRect(0, 0, 4000, 4000)
  a.append(6 * 7, " ", g.getImageData(9, 9, 1, 1).data[3])
</script>
END
# The port is read from the server's own first line, which it prints when it listens.
exec 3< <(exec python3 -u -m http.server --bind 127.0.0.1 0 2>/dev/null)
server=$!
read -r line <&3
port=$(grep -o 'port [0-9]*' <<<"$line")
chromium --dump-dom "http://127.0.0.1:${port#port }/"
code=$?
chromium --screenshot="$PWD/page.png" "http://127.0.0.1:${port#port }/" && file page.png
kill "$server"
exit "$code"`
	r := harness.Engine(t, nil, "exec", box, "bash", "-c", script)
	if r.Code != 0 || !strings.Contains(r.Stdout, "six times seven is 42 255") {
		t.Errorf("the page's DOM: %v", r)
	}
	if !strings.Contains(r.Stdout, "page.png: PNG image data") {
		t.Errorf("no screenshot: %v", r)
	}
	if n := strings.Count(r.Stderr, "running with --no-sandbox"); n != 1 {
		t.Errorf("the missing sandbox was said %d times, want once: %v", n, r)
	}
	if names := harness.EngineOK(t, "exec", box, "ls", "-A", contract.DefaultHotPath); names != "" {
		t.Errorf("the browser has left %q in the home", names)
	}
}

// What an agent installs goes to its home, which is kept; caches do not.
func TestImageAgentInstallsPackages(t *testing.T) {
	box := harness.Idle(t, catalog.Reference("", "core", ""), restricted...)
	harness.EngineOK(t, "cp", packages(t)+"/.", box+":/tmp/")
	for _, args := range [][]string{
		{"pip", "install", "--no-index", "/tmp/greeting-1.0-py3-none-any.whl"},
		{"npm", "install", "--global", "--offline", "/tmp/salute-1.0.0.tgz"},
	} {
		if r := harness.Engine(t, nil, append([]string{"exec", box}, args...)...); r.Code != 0 {
			t.Fatalf("%q: %v", args, r)
		}
	}
	for _, tool := range []string{"greeting", "salute"} {
		if got := harness.EngineOK(t, "exec", box, tool); got != "hello from "+tool {
			t.Errorf("%s printed %q", tool, got)
		}
		if got, want := harness.EngineOK(t, "exec", box, "which", tool), contract.DefaultHotPath+"/.local/bin/"+tool; got != want {
			t.Errorf("%s is %s, want %s", tool, got, want)
		}
	}
	if names := harness.EngineOK(t, "exec", box, "ls", "-A", contract.DefaultHotPath); names != ".local" {
		t.Errorf("the home has %q, want .local alone", names)
	}
}

// The scripts of contract.ScriptsDir, for orchestrators that call these names, run sandbox-init.
func TestImageWrapperScripts(t *testing.T) {
	eachImage(t, func(t *testing.T, _, ref string) {
		script := func(name string) string { return contract.ScriptsDir + "/" + name }
		r := harness.Engine(t, nil, "run", "--rm", "--entrypoint", script("entrypoint.sh"), ref, "bash", "-c", "cat /proc/1/comm; exit 41")
		if r.Code != 41 || !strings.HasPrefix(r.Stdout, "sandbox-init") {
			t.Errorf("entrypoint.sh: %v", r)
		}

		box := harness.Idle(t, ref)
		harness.Ready(t, box)
		for _, name := range []string{"healthcheck.sh", "hot-sync.sh", "cold-mount.sh"} {
			// What they do is the binary's own; that they reach it is what is asked here.
			own := map[string]string{"healthcheck.sh": "healthcheck", "hot-sync.sh": "checkpoint", "cold-mount.sh": "cold"}[name]
			got := harness.Engine(t, nil, "exec", box, script(name))
			want := harness.Engine(t, nil, "exec", box, contract.InitBinary, own)
			if got.Code != want.Code {
				t.Errorf("%s: %v; sandbox-init %s: %v", name, got, own, want)
			}
		}
		if r := harness.Engine(t, nil, "exec", box, script("shutdown.sh")); r.Code != 0 {
			t.Fatalf("shutdown.sh: %v", r)
		}
		if code := harness.EngineOK(t, "wait", box); code != "0" {
			t.Errorf("after shutdown.sh the sandbox ended with %s, want 0", code)
		}
	})
}

// packages makes one package for pip and one for npm, each with a command, in a new
// directory: a test reaches no registry.
func packages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("greeting-1.0-py3-none-any.whl", zipped(t, map[string]string{
		"greeting.py":                             "def main():\n    print('hello from greeting')\n",
		"greeting-1.0.dist-info/METADATA":         "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
		"greeting-1.0.dist-info/WHEEL":            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"greeting-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreeting = greeting:main\n",
		"greeting-1.0.dist-info/RECORD":           "greeting.py,,\ngreeting-1.0.dist-info/METADATA,,\ngreeting-1.0.dist-info/WHEEL,,\ngreeting-1.0.dist-info/entry_points.txt,,\ngreeting-1.0.dist-info/RECORD,,\n",
	}))
	write("salute-1.0.0.tgz", gzippedTar(t, map[string]string{
		"package/package.json": `{"name": "salute", "version": "1.0.0", "bin": {"salute": "main.js"}}`,
		"package/main.js":      "#!/usr/bin/env node\nconsole.log('hello from salute')\n",
	}))
	return dir
}

func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzippedTar(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
