// Package e2e runs the real images in real containers.
package images

import (
	"archive/tar"
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
)

// The largest that an image may be, in bytes.
var sizeLimits = map[string]int64{"base": 135e6, "core": 1000e6}

func TestImageSizes(t *testing.T) {
	eachImage(t, func(t *testing.T, name, ref string) {
		if size := harness.Inspect(t, ref).Size; size > sizeLimits[name] {
			t.Errorf("%s has %d MB, at most %d are allowed; docker history %s shows which layer grew",
				ref, size/1e6, sizeLimits[name]/1e6, ref)
		}
	})
}

// What the image says of itself is what its image.yaml says, in the image and in its
// labels, which can be read without pulling it.
func TestImageSaysWhatItIs(t *testing.T) {
	c, err := catalog.Load(os.DirFS(harness.Repository))
	if err != nil {
		t.Fatal(err)
	}
	eachImage(t, func(t *testing.T, name, ref string) {
		m, err := c.Manifest(name)
		if err != nil {
			t.Fatal(err)
		}
		config := harness.Inspect(t, ref).Config
		if diff := cmp.Diff(m.Labels(), config.Labels); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
		for key, value := range m.Environment {
			if !slices.Contains(config.Env, key+"="+value) {
				t.Errorf("the environment has no %s=%s: %q", key, value, config.Env)
			}
		}

		want, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{contract.Capabilities, "/etc/llmcore/capabilities.json"} {
			var got catalog.Manifest
			r := harness.InImage(t, ref, nil, "cat", file)
			if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
				t.Fatalf("%s: %v: %v", file, err, r)
			}
			if again, _ := json.Marshal(&got); string(again) != string(want) {
				t.Errorf("%s is %s, want %s", file, again, want)
			}
		}
	})
}

func TestImageStartsAsItShould(t *testing.T) {
	eachImage(t, func(t *testing.T, _, ref string) {
		config := harness.Inspect(t, ref).Config
		for _, tc := range []struct {
			what      string
			got, want any
		}{
			{"user", config.User, contract.AgentUser},
			{"entrypoint", config.Entrypoint, []string{contract.InitBinary, "--"}},
			{"command", config.Cmd, []string(nil)},
			{"stop signal", config.StopSignal, "SIGTERM"},
			{"health check", config.Healthcheck.Test, []string{"CMD", contract.InitBinary, "healthcheck"}},
			// A volume of Docker's own making would hide what a build step puts there.
			{"volumes", len(config.Volumes), 0},
		} {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.what, diff)
			}
		}
	})
}

// No way leads from the agent to root, nothing lies in the home, and nothing is carried
// along that no sandbox needs. Debian's own layer has SUID programs where it was pulled:
// what counts is what the layers show together.
func TestImageFiles(t *testing.T) {
	eachImage(t, func(t *testing.T, _, ref string) {
		files := map[string]layerFile{}
		walkLayers(t, ref, func(f layerFile) { overlay(files, f) })
		for name, f := range files {
			bad := func(what string) { t.Errorf("layer %d: %s has mode %04o: %s", f.layer, name, f.Mode, what) }
			if f.Mode&0o6000 != 0 {
				bad("SUID or SGID")
			}
			if f.PAXRecords["SCHILY.xattr.security.capability"] != "" {
				bad("file capabilities")
			}
			if strings.HasPrefix(name, contract.DefaultHotPath+"/") {
				bad("it lies in the home")
			}
			// The engine mounts its own /dev over the image's.
			if f.Typeflag != tar.TypeSymlink && f.Mode&0o002 != 0 && name != "/tmp" && name != "/var/tmp" && !strings.HasPrefix(name, "/dev/") {
				bad("everybody may write it")
			}
			for _, pattern := range []string{"/var/lib/apt/lists/*_*", "/var/cache/apt/archives/*.deb", "/usr/share/man/man?/*", "/root/.npm", "/mnt/*", "/srv/*"} {
				if ok, _ := path.Match(pattern, name); ok {
					bad("it should have been left out")
				}
			}
		}
		// That the walk has seen the image at all.
		for _, name := range []string{contract.InitBinary, "/usr/bin/bash", contract.DefaultHotPath} {
			if _, ok := files[name]; !ok {
				t.Errorf("no layer has %s", name)
			}
		}
	})
}

// sandbox-init is a layer of its own and the last, so that a change in it builds, and
// pushes, that layer and nothing else.
func TestImageLastLayerIsInit(t *testing.T) {
	eachImage(t, func(t *testing.T, _, ref string) {
		last := len(harness.Inspect(t, ref).RootFS.Layers) - 1
		var files []string
		walkLayers(t, ref, func(f layerFile) {
			if f.layer == last && f.Typeflag == tar.TypeReg {
				files = append(files, path.Clean("/"+f.Name))
			}
		})
		if diff := cmp.Diff([]string{contract.InitBinary}, files); diff != "" {
			t.Errorf("files of the last layer (-want +got):\n%s", diff)
		}
	})
}

// base's layers, the last aside, are those that core begins with: what both have is
// stored and pulled once.
func TestImageCoreSharesLayersWithBase(t *testing.T) {
	base := harness.Inspect(t, catalog.Reference("", "base", "")).RootFS.Layers
	core := harness.Inspect(t, catalog.Reference("", "core", "")).RootFS.Layers
	shared := base[:len(base)-1]
	if len(core) <= len(shared) || !slices.Equal(shared, core[:len(shared)]) {
		t.Errorf("core does not begin with base's layers\nbase %q\ncore %q", base, core)
	}
}

func TestImageDirectories(t *testing.T) {
	// Mode, owner and content of each, as `stat` and `ls` print them.
	want := map[string]string{
		contract.DefaultHotPath:       "755 1000:1000 empty",
		contract.DefaultColdPath:      "555 0:0 empty",
		contract.DefaultStateDir:      "755 1000:1000 empty",
		contract.DefaultRunDir:        "755 1000:1000 empty",
		contract.PreStartDir:          "755 0:0 empty",
		contract.PreStopDir:           "755 0:0 empty",
		contract.ConfigDir:            "755 0:0",
		contract.ScriptsDir:           "755 0:0",
		"/var/tmp/agent-cache":        "700 1000:1000 empty",
		path.Dir(contract.InitBinary): "755 0:0",
	}
	const script = `for d; do printf '%s %s' "$d" "$(stat -c '%a %u:%g' "$d")"; [ -z "$(ls -A "$d")" ] && printf ' empty'; echo; done`
	eachImage(t, func(t *testing.T, _, ref string) {
		program := []string{"bash", "-c", script, "bash"}
		for d := range want {
			program = append(program, d)
		}
		got := map[string]string{}
		for line := range strings.Lines(harness.InImage(t, ref, nil, program...).Stdout) {
			d, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			got[d] = rest
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// The agent can write where it works and nowhere else: what it could replace would be
// run by root, or by another session, later.
func TestImageAgentWritesNothingElse(t *testing.T) {
	allowed := []string{contract.DefaultHotPath, contract.DefaultStateDir, contract.DefaultRunDir, "/tmp", "/var/tmp", "/var/tmp/agent-cache"}
	eachImage(t, func(t *testing.T, _, ref string) {
		r := harness.InImage(t, ref, restricted, "find", "/", "-xdev", "-writable", "(", "-type", "f", "-o", "-type", "d", ")", "-print")
		got := strings.Fields(r.Stdout)
		slices.Sort(got)
		slices.Sort(allowed)
		if diff := cmp.Diff(allowed, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
