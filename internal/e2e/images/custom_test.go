package images

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// The recipe of custom images, as users write it. Both names of the agent end it.
const customDockerfile = `ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG AGENT
USER root
COPY greeting-1.0-py3-none-any.whl salute-1.0.0.tgz /tmp/
RUN pip install --no-index /tmp/greeting-1.0-py3-none-any.whl && npm install --global --offline /tmp/salute-1.0.0.tgz && rm /tmp/*
COPY capabilities.json /etc/sandbox/capabilities.json
USER ${AGENT}
`

// What root installs is there for every user, the image says of itself what was copied
// over, nothing gets into the home, and it is a sandbox still: sandbox-init is PID 1, the
// command runs as the agent, and the agent can install more of its own.
func TestImageCanBeExtended(t *testing.T) {
	dir := packages(t)
	manifest := customManifest(t)
	for name, content := range map[string][]byte{"Dockerfile": []byte(customDockerfile), "capabilities.json": manifest} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, agent := range []string{"sandbox", "agent"} {
		t.Run("USER "+agent, func(t *testing.T) {
			ref := harness.Ref("extended-" + agent)
			if r := harness.Engine(t, nil, "buildx", "build", "--load", "--progress", "plain", "--network", "none",
				"--build-arg", "BASE_IMAGE="+catalog.Reference("", "core", ""), "--build-arg", "AGENT="+agent, "--tag", ref, dir); r.Code != 0 {
				t.Fatalf("the build failed: %v", r)
			}
			t.Cleanup(func() { harness.Afterwards(t, "image", "rm", ref) })
			box := harness.Idle(t, ref, restricted...)
			harness.Ready(t, box)

			for _, tool := range []string{"greeting", "salute"} {
				if got := harness.EngineOK(t, "exec", box, tool); got != "hello from "+tool {
					t.Errorf("%s printed %q", tool, got)
				}
				if got, want := harness.EngineOK(t, "exec", box, "which", tool), "/usr/local/bin/"+tool; got != want {
					t.Errorf("%s is %s, want %s", tool, got, want)
				}
			}
			for _, file := range []string{contract.Capabilities, "/etc/llmcore/capabilities.json"} {
				if got := harness.EngineOK(t, "exec", box, "cat", file); got != string(manifest) {
					t.Errorf("%s is not what was copied over it: %s", file, got)
				}
			}
			if names := harness.EngineOK(t, "exec", box, "ls", "-A", contract.DefaultHotPath); names != "" {
				t.Errorf("the build has left %q in the home", names)
			}
			harness.EngineOK(t, "cp", dir+"/.", box+":/tmp/")
			if r := harness.Engine(t, nil, "exec", box, "npm", "install", "--global", "--offline", "/tmp/salute-1.0.0.tgz"); r.Code != 0 {
				t.Errorf("after root's npm the agent's fails: %v", r)
			}

			// As an operator starts it: root drops to the agent, with any USER at the end of the image.
			want := harness.Result{Code: 41, Stdout: "sandbox-init\n1000 agent\n"}
			got := harness.Engine(t, nil, "run", "--rm", "--user", "0", ref, "bash", "-c", `cat /proc/1/comm; echo "$(id -u) $(id -un)"; exit 41`)
			if got.Stderr = ""; got != want {
				t.Errorf("the command: got %v, want %v", got, want)
			}
		})
	}
}

// customManifest is core's, as an image of another project that adds a tool says it.
func customManifest(t *testing.T) []byte {
	t.Helper()
	c, err := catalog.Load(os.DirFS(harness.Repository))
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest("core")
	if err != nil {
		t.Fatal(err)
	}
	parent := catalog.Reference("", "core", "")
	m.Name, m.Version, m.Tier, m.Description, m.ParentImage = "greeter", "0.3.0", "variant", "Core that greets.", &parent
	m.Tools = append(m.Tools, "greeting", "salute")
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
