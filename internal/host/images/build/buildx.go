package build

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/matrx/sandbox/internal/host/images/checkout"
)

// authorities is the list of authorities of this machine. A proxy that signs with its own
// is one that the machine trusts; build steps get the list as a secret, which is no part of
// the image.
func authorities() string {
	for _, file := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if file == "" {
			continue
		}
		if f, err := os.Open(file); err == nil {
			f.Close()
			return file
		}
	}
	return ""
}

// proxies are the variables that the builder passes on to steps and keeps out of the image
// (Dockerfile reference, "Predefined ARGs").
var proxies = []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}

// buildx builds one image and keeps what the builder says.
func (w *work) buildx(ctx context.Context, name, tag, log string, noCache bool) error {
	r := w.recipes.Recipe(name)
	values, err := w.buildArgs(ctx, name)
	if err != nil {
		return err
	}
	args := []string{"buildx", "build", "--load", "--progress", "plain", "--file", r.File, "--tag", tag}
	if r.Target != "" {
		args = append(args, "--target", r.Target)
	}
	if noCache {
		args = append(args, "--no-cache")
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		args = append(args, "--build-arg", k+"="+values[k])
	}
	for _, k := range proxies {
		if os.Getenv(k) != "" {
			args = append(args, "--build-arg", k)
		}
	}
	if w.bundle != "" {
		args = append(args, "--secret", "id=ca-bundle,src="+w.bundle)
	}
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return err
	}
	f, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("cannot keep the log of %s: %w", name, err)
	}
	defer f.Close()
	fmt.Fprintf(f, "docker %s .\n", strings.Join(args, " "))

	cmd := exec.CommandContext(ctx, "docker", append(args, ".")...)
	cmd.Dir = w.Checkout.Dir
	// Attestations make an index of an image, which older engines do not load.
	cmd.Env = append(os.Environ(), "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // buildx then cancels the build
	cmd.WaitDelay = time.Minute
	tail := &lastLines{}
	steps := &stepReader{step: func(what string) { w.Progress.Step(name, what) }}
	out := io.MultiWriter(f, tail, steps)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s was not built: %w", name, ctx.Err())
		}
		return fmt.Errorf("cannot build %s: %w; the whole log is %s, its end:\n%s", name, err, log, tail)
	}
	return nil
}

// compile makes sure that sandbox-init is what the sources say. make knows how it is
// compiled, and Go what is up to date.
func (w *work) compile(ctx context.Context) error {
	if !slices.ContainsFunc(w.order, func(name string) bool { return w.recipes.Recipe(name).Program }) {
		return nil
	}
	if err := script(ctx, w.Checkout, nil, "make", "--no-print-directory", "bin/linux-"+w.recipes.Arch(), "PROGRAMS=./cmd/sandbox-init"); err != nil {
		return fmt.Errorf("cannot compile sandbox-init: %w", err)
	}
	return nil
}

// programDigest is the digest of the sandbox-init that the builder would copy; "" when
// there is none.
func (w *work) programDigest() (string, error) {
	f, err := os.Open(filepath.Join(w.Checkout.Dir, "bin", "linux-"+w.recipes.Arch(), "sandbox-init"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// debianImage is what base is built from.
func debianImage(ctx context.Context, c checkout.Checkout) (string, error) {
	var out bytes.Buffer
	if err := script(ctx, c, &out, "scripts/ensure-base.sh"); err != nil {
		return "", fmt.Errorf("cannot make the image that base is built from: %w", err)
	}
	return strings.TrimSpace(out.String()), nil
}

// EnsureEngine starts an engine where none answers, and fetches buildx where it is missing.
func EnsureEngine(ctx context.Context, c checkout.Checkout) error {
	return script(ctx, c, nil, "scripts/ensure-engine.sh")
}

// RefreshLock rewrites images/debian.lock; image, when it is not "", replaces the one that
// base is built from.
func RefreshLock(ctx context.Context, c checkout.Checkout, image string) error {
	args := []string{}
	if image != "" {
		args = append(args, image)
	}
	return script(ctx, c, nil, "scripts/refresh-lock.sh", args...)
}

// script runs one of the checkout's own scripts, or make. What a script says goes to the
// operator at once: some of them take half a minute. What make says is told when it fails.
func script(ctx context.Context, c checkout.Checkout, stdout io.Writer, name string, args ...string) error {
	ours := strings.Contains(name, "/")
	if ours {
		name = filepath.Join(c.Dir, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.Dir
	for _, kv := range os.Environ() {
		// A make above this program has variables that are not meant for the one below.
		if !strings.HasPrefix(kv, "MAKE") && !strings.HasPrefix(kv, "MFLAGS") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	tail := &lastLines{}
	cmd.Stdout, cmd.Stderr = stdout, tail
	if stdout == nil {
		cmd.Stdout = tail
	}
	if ours {
		cmd.Stderr = os.Stderr
	}
	switch err := cmd.Run(); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("cannot run %s: %w", name, err)
	case ours:
		return fmt.Errorf("%s failed, see above: %w", filepath.Base(name), err)
	default:
		return fmt.Errorf("%w:\n%s", err, tail)
	}
}

// once keeps the first answer for all callers.
func once(f func(context.Context) (string, error)) func(context.Context) (string, error) {
	var (
		o   sync.Once
		s   string
		err error
	)
	return func(ctx context.Context) (string, error) {
		o.Do(func() { s, err = f(ctx) })
		return s, err
	}
}

// stepLine is a step that begins, as `buildx --progress plain` writes it:
// "#12 [core 3/9] RUN ...", without a stage's name when there is one alone.
var stepLine = regexp.MustCompile(`^#\d+ \[(?:(\S+) +)?(\d+/\d+)\] (.*)`)

// stepReader finds the steps in what the builder writes.
type stepReader struct {
	step func(string)
	rest []byte
}

func (r *stepReader) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		line, rest, ok := bytes.Cut(r.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if m := stepLine.FindSubmatch(line); m != nil {
			r.step(strings.TrimSpace(fmt.Sprintf("%s %s %s", m[1], m[2], m[3])))
		}
		r.rest = append([]byte(nil), rest...)
	}
}

// keptBytes of a program's output hold its last lines.
const keptBytes = 64 << 10

// lastLines keeps the end of what a program says.
type lastLines struct{ data []byte }

func (l *lastLines) Write(p []byte) (int, error) {
	l.data = append(l.data, p...)
	if len(l.data) > 2*keptBytes {
		l.data = append([]byte(nil), l.data[len(l.data)-keptBytes:]...)
	}
	return len(p), nil
}

// String is the last forty lines.
func (l *lastLines) String() string {
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(l.data)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
