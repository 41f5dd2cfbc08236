package mutants

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Images are the family's images that mutants are made of.
var Images = map[string]string{"base": "matrx-sandbox-base:latest", "core": "matrx-sandbox:latest"}

// Built is a mutant that exists in the engine.
type Built struct {
	Image  string
	Parent string // "" none
}

// ownParent is the name of a parent that was made for this mutant alone.
func (b Built) ownParent() string { return b.Image + "-parent" }

// Build makes a mutant's image, and its parent's where that is its own. faultyinit is the
// path of that program. The images are tagged by name; Remove removes them.
func (m Mutant) Build(ctx context.Context, name, faultyinit string) (Built, error) {
	from := m.From
	if from == "" {
		from = "base"
	}
	b := Built{Image: "matrx-sandbox-mutant:" + name}
	switch m.Parent {
	case "":
	case "own":
		b.Parent = b.ownParent()
		if err := build(ctx, b.Parent, "FROM "+Images[from]+"\nUSER root\n"+m.ParentDockerfile+"\nUSER agent\n", ""); err != nil {
			return b, err
		}
	default:
		b.Parent = Images[m.Parent]
	}
	text := "FROM " + Images[from] + "\nUSER root\n"
	if m.Fault != "" {
		text += "RUN mkdir /opt/faultyinit && mv /usr/local/bin/sandbox-init /opt/faultyinit/sandbox-init && echo " + m.Fault + " > /opt/faultyinit/fault\n" +
			"COPY faultyinit /usr/local/bin/sandbox-init\n"
	}
	text += m.Dockerfile + "\n"
	if !strings.Contains(m.Dockerfile, "USER ") {
		text += "USER agent\n"
	}
	return b, build(ctx, b.Image, text, faultyinit)
}

func build(ctx context.Context, tag, dockerfile, faultyinit string) error {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	if faultyinit != "" {
		program, err := os.ReadFile(faultyinit)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "faultyinit"), program, 0o755); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "docker", "build", "-q", "-t", tag, dir)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot build the mutant %s: %w\n%s\n%s", tag, err, dockerfile, out.String())
	}
	return nil
}

// Remove removes the images that Build made.
func (b Built) Remove(ctx context.Context) error {
	tags := []string{b.Image}
	if b.Parent == b.ownParent() { // others have the other parents too
		tags = append(tags, b.Parent)
	}
	if out, err := exec.CommandContext(ctx, "docker", append([]string{"rmi", "-f"}, tags...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot remove %q: %w\n%s", tags, err, out)
	}
	return nil
}

// Faultyinit builds that program once.
var Faultyinit = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "faultyinit-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "faultyinit")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "github.com/matrx/sandbox/conformance/mutants/faultyinit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build faultyinit: %w\n%s", err, out)
	}
	return program, nil
})
