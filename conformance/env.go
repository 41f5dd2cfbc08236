package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/matrx/sandbox/conformance/engine"
	"github.com/matrx/sandbox/conformance/image"
	"github.com/matrx/sandbox/conformance/reaper"
	"github.com/matrx/sandbox/conformance/s3"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/contract/spec"
)

// Env is what a check has to work with. Each check gets one of its own; what it starts
// is removed when the check ends.
type Env struct {
	shared   *shared
	id       string
	evidence []string

	mu     sync.Mutex
	onEnd  []func()
	spaces int
}

// shared is what all checks of a run use side by side.
type shared struct {
	options  Options
	engine   *engine.Engine
	programs string // the directory of the suite's own programs
	dir      string // of sockets and data
	server   *s3.Server
	image    func() (*image.Image, error) // read once, by the first static check
	parent   func() (*image.Image, error) // read once, by the first check that compares
	manifest func() (*manifest, error)    // read once
	vocab    *spec.Vocabulary

	mu      sync.Mutex
	running map[string]*running // services, by name
}

// lock is the file that tells the reaper which of the run's servers still live.
func (s *shared) lock() string { return filepath.Join(s.dir, reaper.LockName) }

// Image is the image at rest.
func (e *Env) Image() (*image.Image, error) { return e.shared.image() }

// Ref is the image's reference, Parent its parent's ("" for the root of a family).
func (e *Env) Ref() string { return e.shared.options.Image }

// Parent is the reference of the image that this one extends; "" when it extends none.
func (e *Env) Parent() string { return e.shared.options.Parent }

// Engine starts containers that are no sandboxes.
func (e *Env) Engine() *engine.Engine { return e.shared.engine }

// Vocabulary maps the names of a manifest to their probes.
func (e *Env) Vocabulary() *spec.Vocabulary { return e.shared.vocab }

// Saw records what was seen, for people who read the report.
func (e *Env) Saw(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.evidence = append(e.evidence, fmt.Sprintf(format, args...))
}

// atEnd runs f when the check has ended, the last one first.
func (e *Env) atEnd(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onEnd = append(e.onEnd, f)
}

func (e *Env) close() {
	for i := len(e.onEnd) - 1; i >= 0; i-- {
		e.onEnd[i]()
	}
}

// Workspace makes a user of this check's own, with nothing in S3.
func (e *Env) Workspace() (*s3.Workspace, error) {
	e.mu.Lock()
	e.spaces++
	user := fmt.Sprintf("%s-%d", strings.ToLower(e.id), e.spaces)
	e.mu.Unlock()
	w, err := e.shared.server.Workspace(user, filepath.Join(e.shared.dir, user))
	if err != nil {
		return nil, err
	}
	e.atEnd(func() { _ = w.Link.Close() })
	return w, nil
}

// Probe is where the suite's own static program is in every container of Start. Its
// commands are those of package probe.
const Probe = "/.conformance/probe"

// credentialsFile is where a sandbox of Start finds its storage credentials.
const credentialsFile = "/.conformance-credentials/credentials"

// Mode says with which rights a sandbox is started.
type Mode int

// The modes.
const (
	AsRoot  Mode = iota // user 0 with the minimal capabilities, as `sandbox run` does
	AsAgent             // the image's own user, no capabilities
)

// minimalCaps is the list that house rules give a sandbox started as root.
var minimalCaps = []string{"SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "FOWNER", "DAC_OVERRIDE"}

// Start is how to start a sandbox; the zero value is an idle one as root without storage.
type Start struct {
	Mode       Mode
	Workspace  *s3.Workspace // nil: no storage
	SandboxID  string        // "": by the check's ID
	Cmd        []string
	Env        map[string]string
	Entrypoint []string
	Binds      []string
	Fuse       bool // /dev/fuse and SYS_ADMIN
	Tmpfs      map[string]string
	image      string   // "": the image that is judged
	Services   []string // servers whose sockets are mounted where their clients look
}

// Sandbox is a sandbox that runs, or has ended.
type Sandbox struct {
	*engine.Container
	env *Env
}

// Start starts a sandbox. It returns at once; WaitReady waits.
func (e *Env) Start(ctx context.Context, s Start) (*Sandbox, error) {
	c, err := e.Create(ctx, s)
	if err != nil {
		return nil, err
	}
	return c, c.Container.Start(ctx)
}

// Create makes a sandbox without starting it.
func (e *Env) Create(ctx context.Context, s Start) (*Sandbox, error) {
	vars := map[string]string{contract.EnvSandboxID: s.SandboxID}
	if s.SandboxID == "" {
		vars[contract.EnvSandboxID] = strings.ToLower(e.id)
	}
	ref := s.image
	if ref == "" {
		ref = e.Ref()
	}
	spec := engine.Spec{
		Image: ref, Cmd: s.Cmd, Entrypoint: s.Entrypoint, Env: vars, Tmpfs: s.Tmpfs,
		Binds: append([]string{filepath.Join(e.shared.programs, probeProgram) + ":" + Probe + ":ro"}, s.Binds...),
	}
	if s.Mode == AsRoot {
		spec.User, spec.Caps = "0", minimalCaps
		if s.Fuse {
			spec.Caps = append([]string{"SYS_ADMIN"}, minimalCaps...)
			spec.Devices = []string{"/dev/fuse"}
		}
	}
	for _, name := range s.Services {
		dir, err := e.shared.service(ctx, name)
		if err != nil {
			return nil, err
		}
		spec.Binds = append(spec.Binds, dir+":"+services[name].mount)
	}
	if w := s.Workspace; w != nil {
		vars[contract.EnvUserID] = w.UserID
		vars[contract.EnvS3Bucket] = s3.Bucket
		vars[contract.EnvS3Region] = e.shared.server.Region
		vars[contract.EnvS3Endpoint] = "unix://" + contract.HostStorageSocket
		vars[contract.EnvS3CredentialsFile] = credentialsFile
		credentials, err := e.credentials(s.Mode)
		if err != nil {
			return nil, err
		}
		spec.Binds = append(spec.Binds, w.Link.Dir+":"+contract.HostDir, credentials+":"+filepath.Dir(credentialsFile)+":ro")
	}
	for name, value := range s.Env {
		vars[name] = value
	}
	c, err := e.shared.engine.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	e.atEnd(func() { _ = c.Remove(context.WithoutCancel(ctx)) })
	return &Sandbox{Container: c, env: e}, nil
}

// credentials writes the server's credentials where only the one who starts may read them.
func (e *Env) credentials(m Mode) (dir string, err error) {
	dir, err = os.MkdirTemp(e.shared.dir, "credentials-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, filepath.Base(credentialsFile))
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", e.shared.server.AccessKey, e.shared.server.SecretKey)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	if m == AsRoot {
		return dir, nil
	}
	if os.Geteuid() == 0 {
		return dir, errors.Join(os.Chown(dir, contract.AgentUID, contract.AgentGID), os.Chown(file, contract.AgentUID, contract.AgentGID))
	}
	// Somebody else cannot give files away. They open no more than this run's own S3, and
	// other users of this machine cannot list the directory above.
	return dir, errors.Join(os.Chmod(dir, 0o755), os.Chmod(file, 0o644))
}

// Secret is the storage credentials' secret key: what the workload must not find.
func (e *Env) Secret() string { return e.shared.server.SecretKey }
