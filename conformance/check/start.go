package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/matrx/sandbox/conformance/engine"
	"github.com/matrx/sandbox/conformance/s3"
	"github.com/matrx/sandbox/contract"
)

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
		Binds: append([]string{e.fixture.Probe + ":" + Probe + ":ro"}, s.Binds...),
	}
	if s.Mode == AsRoot {
		spec.User, spec.Caps = "0", minimalCaps
		if s.Fuse {
			spec.Caps = append([]string{"SYS_ADMIN"}, minimalCaps...)
			spec.Devices = []string{"/dev/fuse"}
		}
	}
	for _, name := range s.Services {
		bind, err := e.fixture.Services.Bind(ctx, name)
		if err != nil {
			return nil, err
		}
		spec.Binds = append(spec.Binds, bind)
	}
	if w := s.Workspace; w != nil {
		vars[contract.EnvUserID] = w.UserID
		vars[contract.EnvS3Bucket] = s3.Bucket
		vars[contract.EnvS3Region] = e.fixture.Server.Region
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
	c, err := e.fixture.Engine.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	e.AtEnd(func() { _ = c.Remove(context.WithoutCancel(ctx)) })
	return &Sandbox{Container: c, env: e}, nil
}

// credentials writes the server's credentials where only the user that the sandbox starts as may read them.
func (e *Env) credentials(m Mode) (dir string, err error) {
	dir, err = os.MkdirTemp(e.fixture.Dir, "credentials-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, filepath.Base(credentialsFile))
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", e.fixture.Server.AccessKey, e.fixture.Server.SecretKey)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	if m == AsRoot {
		return dir, nil
	}
	if os.Geteuid() == 0 {
		return dir, errors.Join(os.Chown(dir, contract.AgentUID, contract.AgentGID), os.Chown(file, contract.AgentUID, contract.AgentGID))
	}
	// Only root can give files away. These open no more than this run's own S3, and other users of
	// this machine cannot list the directory above.
	return dir, errors.Join(os.Chmod(dir, 0o755), os.Chmod(file, 0o644))
}
