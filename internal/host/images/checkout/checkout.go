// Package checkout is the repository on this machine, as git and Go see it: where it is,
// what has changed in it, and what sandbox-init is compiled from.
package checkout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Checkout is a work tree of this project.
type Checkout struct{ Dir string }

// Find takes the folder that is named, or the nearest one above the current folder that
// is a checkout when none is.
func Find(dir string) (Checkout, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return Checkout{}, err
		}
		if !is(abs) {
			return Checkout{}, fmt.Errorf("%s is no checkout of the images' repository: it has no images/ beside a Dockerfile.core", abs)
		}
		return Checkout{abs}, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return Checkout{}, err
	}
	for at := here; ; at = filepath.Dir(at) {
		if is(at) {
			return Checkout{at}, nil
		}
		if at == filepath.Dir(at) {
			return Checkout{}, fmt.Errorf("neither %s nor a folder above it is a checkout of the images' repository; go there, or name it with --root", here)
		}
	}
}

func is(dir string) bool {
	for _, name := range []string{"Dockerfile.core", "images"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// FS reads the work tree.
func (c Checkout) FS() fs.FS { return os.DirFS(c.Dir) }

// errNoRevision is a revision that git does not know here.
var errNoRevision = errors.New("there is no such revision")

var errNoRepository = errors.New("this is no repository of git's")

// Resolve is the commit that a revision names. One that is missing is an error: what has
// changed since could only be guessed.
func (c Checkout) Resolve(ctx context.Context, rev string) (string, error) {
	if rev == "" || strings.HasPrefix(rev, "-") {
		return "", fmt.Errorf("%w: %q", errNoRevision, rev)
	}
	out, err := c.git(ctx, "rev-parse", "--verify", "--quiet", rev+"^{commit}")
	if err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			if _, err := c.git(ctx, "rev-parse", "--git-dir"); err != nil {
				return "", fmt.Errorf("cannot compare with %s: %w: %w", rev, errNoRepository, err)
			}
			return "", fmt.Errorf("%w: git knows no commit %q here; name another, or get it (git fetch --unshallow, or fetch-depth: 0 in a workflow)", errNoRevision, rev)
		}
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// Changed lists the paths that differ between a commit and the work tree: added, removed
// or edited, committed or not. What git ignores does not count.
func (c Checkout) Changed(ctx context.Context, commit string) ([]string, error) {
	diff, err := c.git(ctx, "diff", "--name-only", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "-z", commit, "--")
	if err != nil {
		return nil, err
	}
	more, err := c.git(ctx, "ls-files", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil, err
	}
	return append(lines(diff), lines(more)...), nil
}

func lines(out []byte) []string {
	text := strings.TrimSuffix(string(out), "\x00")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}

// Revision names the state of the work tree: its commit, with "-dirty" behind it when
// something is not committed. It is "" where there is no commit.
func (c Checkout) Revision(ctx context.Context) (string, error) {
	commit, err := c.Resolve(ctx, "HEAD")
	if errors.Is(err, errNoRevision) || errors.Is(err, errNoRepository) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	changed, err := c.Changed(ctx, commit)
	if err != nil {
		return "", err
	}
	if len(changed) > 0 {
		commit += "-dirty"
	}
	return commit, nil
}

// git runs at the root of the work tree, and a GIT_DIR in the environment (a hook's) is ignored.
func (c Checkout) git(ctx context.Context, args ...string) ([]byte, error) {
	return c.run(ctx, nil, nil, "git", append([]string{"-c", "core.quotePath=false"}, args...)...)
}

func (c Checkout) run(ctx context.Context, stdin []byte, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.Dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GIT_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if said := strings.TrimSpace(stderr.String()); said != "" {
			return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
		}
		return nil, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return stdout.Bytes(), nil
}

// Lock is the file that holds the state of Debian's suites.
func (c Checkout) Lock() string { return filepath.Join(c.Dir, "images", "debian.lock") }
