package checkout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// programPackage is what sandbox-init is compiled from.
const programPackage = "./cmd/sandbox-init"

// compiled is what `go list` says of a package.
type compiled struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version string
		Main          bool
		Replace       *struct{ Version string }
	}
	GoFiles, CgoFiles, SFiles, HFiles, CFiles, SysoFiles, EmbedFiles, IgnoredGoFiles []string
}

// ofCheckout says whether a package is of this repository: of the main module, or of another one,
// since a module that is replaced by a folder has no version there.
func (p compiled) ofCheckout() bool {
	return p.Module.Main || p.Module.Replace != nil && p.Module.Replace.Version == ""
}

// Program says which of the changed paths sandbox-init is compiled from: files of its
// packages, versions of the modules that it uses, and how the Makefile compiles it.
func (c Checkout) Program(ctx context.Context, before fs.FS, changed []string) ([]string, error) {
	if len(changed) == 0 {
		return nil, nil
	}
	files, folders, modules := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, arch := range []string{"amd64", "arm64"} {
		list, err := c.packages(ctx, arch)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			if p.Standard || p.Module == nil {
				continue
			}
			if !p.Module.Main {
				modules[p.Module.Path] = true
			}
			if p.ofCheckout() {
				dir, err := filepath.Rel(c.Dir, p.Dir)
				if err != nil {
					return nil, err
				}
				dir = filepath.ToSlash(dir)
				folders[dir] = true
				for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.SFiles, p.HFiles, p.CFiles, p.SysoFiles, p.EmbedFiles, p.IgnoredGoFiles) {
					files[path.Join(dir, name)] = true
				}
			}
		}
	}
	var out []string
	for _, p := range changed {
		switch {
		case p == "go.mod":
			differ, err := c.modulesDiffer(ctx, before, modules)
			if err != nil {
				return nil, err
			}
			if differ {
				out = append(out, p)
			}
		case p == "Makefile":
			now, err := os.ReadFile(filepath.Join(c.Dir, p))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			then, err := fs.ReadFile(before, p)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if compileRules(now) != compileRules(then) {
				out = append(out, p)
			}
		case files[p] || c.wasCompiled(p, folders):
			out = append(out, p)
		}
	}
	return out, nil
}

// wasCompiled says whether a path that is gone may have been a part of a package: a file in
// its folder, or one that it embedded below.
func (c Checkout) wasCompiled(p string, folders map[string]bool) bool {
	if _, err := os.Lstat(filepath.Join(c.Dir, p)); err == nil || strings.HasSuffix(p, "_test.go") || strings.Contains(p, "/testdata/") {
		return false
	}
	if strings.HasSuffix(p, ".go") {
		return folders[path.Dir(p)]
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if folders[dir] {
			return true
		}
	}
	return false
}

// packages lists what sandbox-init is compiled from, as the Makefile compiles it.
func (c Checkout) packages(ctx context.Context, arch string) ([]compiled, error) {
	env := []string{"GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + arch}
	out, err := c.run(ctx, nil, env, "go", "list", "-deps",
		"-json=Dir,Standard,Module,GoFiles,CgoFiles,SFiles,HFiles,CFiles,SysoFiles,EmbedFiles,IgnoredGoFiles", programPackage)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what sandbox-init is compiled from: %w", err)
	}
	var list []compiled
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p compiled
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, fmt.Errorf("cannot read what go list says: %w", err)
		}
		list = append(list, p)
	}
}

// modfile is what `go mod edit -json` says.
type modfile struct {
	Go, Toolchain string
	Require       []struct{ Path, Version string }
	Replace       []struct {
		Old, New struct{ Path, Version string }
	}
}

// modulesDiffer compares the versions of the modules that the program uses. go.mod lists
// every one of them (go.dev/ref/mod, graph pruning), so other lines do not matter.
func (c Checkout) modulesDiffer(ctx context.Context, before fs.FS, used map[string]bool) (bool, error) {
	read := func(data []byte) (map[string]string, error) {
		f, err := os.CreateTemp("", "go.mod-")
		if err != nil {
			return nil, err
		}
		defer os.Remove(f.Name())
		_, err = f.Write(data)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		out, err := c.run(ctx, nil, []string{"GOFLAGS="}, "go", "mod", "edit", "-json", f.Name())
		if err != nil {
			return nil, err
		}
		var m modfile
		if err := json.Unmarshal(out, &m); err != nil {
			return nil, err
		}
		versions := map[string]string{"go": m.Go, "toolchain": m.Toolchain}
		for _, r := range m.Require {
			if used[r.Path] {
				versions[r.Path] = r.Version
			}
		}
		for _, r := range m.Replace {
			if used[r.Old.Path] {
				versions[r.Old.Path] += fmt.Sprint(" replaced by ", r)
			}
		}
		return versions, nil
	}
	then, err := fs.ReadFile(before, "go.mod")
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	now, err := os.ReadFile(filepath.Join(c.Dir, "go.mod"))
	if err != nil {
		return false, err
	}
	a, err := read(then)
	if err != nil {
		return true, nil //nolint:nilerr // what cannot be read as it was counts as another
	}
	b, err := read(now)
	if err != nil {
		return false, err
	}
	return !maps.Equal(a, b), nil
}

// compileRules are the lines of the Makefile that say how programs are compiled: the
// variables VERSION and GO_BUILD, and the rule that uses them.
func compileRules(makefile []byte) string {
	var b strings.Builder
	taking := false
	for line := range strings.Lines(string(makefile)) {
		switch {
		case strings.HasPrefix(line, "VERSION "), strings.HasPrefix(line, "GO_BUILD "), strings.HasPrefix(line, "bin/linux-"):
			taking = true
		case !strings.HasPrefix(line, "\t"):
			taking = false
		}
		if taking {
			b.WriteString(line)
		}
	}
	return b.String()
}
