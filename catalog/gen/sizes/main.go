// Command sizes measures the built images of the family and writes their sizes into
// catalog/sizes.yaml: go run ./catalog/gen/sizes && go generate ./catalog/...
//
// What the engine does not have keeps the size that it had. Sizes differ a little from
// build to build; only their order decides anything.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/matrx/sandbox/catalog"
)

const file = "catalog/sizes.yaml"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sizes:", err)
		os.Exit(1)
	}
}

func run() error {
	images, err := catalog.Load(os.DirFS("."))
	if err != nil {
		return err
	}
	before, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("run this at the root of a checkout: %w", err)
	}
	var sizes struct {
		Megabytes map[string]int `yaml:"megabytes"`
	}
	if err := yaml.Unmarshal(before, &sizes); err != nil {
		return err
	}
	for _, name := range images.Names() {
		size, err := measure(catalog.Reference("", name, ""))
		switch {
		case err != nil:
			return err
		case size > 0:
			sizes.Megabytes[name] = size
		}
	}
	maps.DeleteFunc(sizes.Megabytes, func(name string, _ int) bool { return !slices.Contains(images.Names(), name) })
	head, _, ok := bytes.Cut(before, []byte("megabytes:\n"))
	if !ok {
		return fmt.Errorf("%s has no line %q", file, "megabytes:")
	}
	out := bytes.NewBuffer(slices.Clone(head))
	out.WriteString("megabytes:\n")
	for _, name := range slices.Sorted(maps.Keys(sizes.Megabytes)) {
		fmt.Fprintf(out, "  %s: %d\n", name, sizes.Megabytes[name])
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// measure is the size of an image in MB; 0 when the engine does not have it.
func measure(reference string) (int, error) {
	out, err := exec.Command("docker", "image", "ls", "--quiet", "--no-trunc", reference).Output()
	if err != nil {
		return 0, said(err)
	}
	id := strings.TrimSpace(string(out))
	if id == "" {
		return 0, nil
	}
	if out, err = exec.Command("docker", "image", "inspect", "--format", "{{.Size}}", id).Output(); err != nil {
		return 0, said(err)
	}
	bytes, err := strconv.Atoi(strings.TrimSpace(string(out)))
	return max(1, bytes/1e6), err
}

func said(err error) error {
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("%w: %s", err, ended.Stderr)
	}
	return err
}
