package check

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/matrx/sandbox/conformance/s3"
	"github.com/matrx/sandbox/contract"
)

// Home is a path below the hot path.
func Home(name string) string { return contract.DefaultHotPath + "/" + name }

// Ready starts a sandbox on a workspace and waits until it is ready.
func (e *Env) Ready(ctx context.Context, s Start) (*Sandbox, error) {
	box, err := e.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return box, box.WaitReady(ctx)
}

// Hydrating starts a sandbox that has booted and cannot become ready: its S3 is away until w.Link.Mend.
func (e *Env) Hydrating(ctx context.Context) (*Sandbox, *s3.Workspace, error) {
	w, err := e.Workspace()
	if err != nil {
		return nil, nil, err
	}
	w.Link.Cut()
	box, err := e.Start(ctx, Start{Workspace: w})
	if err != nil {
		return nil, nil, err
	}
	return box, w, box.WaitFile(ctx, contract.DefaultRunDir+"/"+contract.StateFileName)
}

// Bare starts the image with the probe in the place of its entrypoint, as the agent: the image's
// content is judged without its lifecycle.
func (e *Env) Bare(ctx context.Context) (*Sandbox, error) { return e.BareOf(ctx, "") }

// BareOf is Bare for another image.
func (e *Env) BareOf(ctx context.Context, ref string) (*Sandbox, error) {
	return e.Start(ctx, Start{image: ref, Mode: AsAgent, Entrypoint: []string{Probe}, Cmd: []string{"idle"}})
}

// Self is what the probe says of the process that it is.
type Self struct {
	UID, EUID  int
	GID, EGID  int
	Groups     []int
	Umask      int
	Env        map[string]string
	NoNewPrivs bool
	Caps       map[string]uint64 // CapInh, CapPrm, CapEff, CapBnd, CapAmb of /proc/self/status
	Exe        string
	PPid       int
}

// Self starts a sandbox whose command says what it is.
func (e *Env) Self(ctx context.Context, s Start) (Self, error) {
	s.Cmd = []string{Probe, "self"}
	box, err := e.Start(ctx, s)
	if err != nil {
		return Self{}, err
	}
	if err := box.ExpectExit(ctx, 0); err != nil {
		return Self{}, err
	}
	logs, err := box.Logs(ctx)
	if err != nil {
		return Self{}, err
	}
	self, ok, err := ParseSelf(logs)
	if err == nil && !ok {
		err = Failf("the command printed nothing; the sandbox printed:\n%s", logs)
	}
	return self, err
}

// ParseSelf finds what the probe said of itself in what was printed.
func ParseSelf(printed string) (self Self, ok bool, err error) {
	for line := range strings.Lines(printed) {
		if rest, ok := strings.CutPrefix(line, "probe-self "); ok {
			return self, true, json.Unmarshal([]byte(rest), &self)
		}
	}
	return self, false, nil
}

// WhileStopping stops a sandbox and returns what its command saw of readiness and health
// when it was told to end.
func (e *Env) WhileStopping(ctx context.Context) (string, error) {
	s, err := e.Ready(ctx, Start{Cmd: []string{Probe, "on-stop", "/tmp/stop", contract.DefaultReadyFile, contract.InitBinary, "healthcheck"}})
	if err != nil {
		return "", err
	}
	if err := s.WaitFile(ctx, "/tmp/stop.armed"); err != nil {
		return "", err
	}
	if _, err := s.Stop(ctx); err != nil {
		return "", err
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(logs) {
		if seen, ok := strings.CutPrefix(line, "probe-stop "); ok {
			return strings.TrimSpace(seen), nil
		}
	}
	return "", Failf("the command was not told to end, or had no time to; the sandbox printed:\n%s", logs)
}
