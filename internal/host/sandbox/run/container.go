package run

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// Where the sockets are in the container: in a mounted directory below one of root's,
// since the mounted one belongs to the operator, whose UID may be the agent's.
const (
	socketsDir    = contract.HostDir + "/sockets"
	storageSocket = socketsDir + "/" + contract.HostStorageSocketName
	forwardSocket = socketsDir + "/" + contract.HostForwardSocketName
	proxySocket   = socketsDir + "/" + contract.HostProxySocketName
)

// ContainerName is the name of a sandbox's container.
func ContainerName(sandboxID string) string { return "sandbox-" + sandboxID }

// volumes are a sandbox's own. They are two because engines before 26 cannot mount a part
// of one, and a pair is always made, kept and removed together.
func volumes(sandboxID string) []string {
	return []string{ContainerName(sandboxID) + "-home", ContainerName(sandboxID) + "-state"}
}

func newID() string { return strings.ToLower(rand.Text()[:8]) }

func labels(d datadir.Dir, r datadir.Record) map[string]string {
	return map[string]string{
		contract.LabelSandboxID: r.SandboxID,
		contract.LabelUserID:    r.UserID,
		contract.LabelDataDir:   d.Path(),
	}
}

func (o Options) spec(d datadir.Dir, sandboxDir datadir.Sandbox, r datadir.Record, shutdown time.Duration, takeover string) engine.Spec {
	return engine.Spec{
		Name:        ContainerName(r.SandboxID),
		Image:       r.Image,
		Command:     o.Command,
		Env:         o.environment(r, shutdown, takeover),
		Labels:      labels(d, r),
		TTY:         o.TTY,
		Stdin:       o.Interactive,
		StopTimeout: shutdown + graceOverShutdown,
		Network:     network(r.Access),
		FUSE:        !o.NoFUSE,
		Private:     []string{contract.HostDir},
		Limits:      limits(r.Limits),
		Volumes: []engine.Mount{
			{Source: r.Volumes[0], Target: contract.DefaultHotPath},
			{Source: r.Volumes[1], Target: contract.DefaultStateDir},
		},
		Binds: []engine.Mount{
			{Source: sandboxDir.HostDir(), Target: socketsDir},
			{Source: sandboxDir.RunDir(), Target: contract.DefaultRunDir},
		},
	}
}

// network is the engine's name for what a sandbox is joined to.
func network(a datadir.Access) string {
	switch a.Mode {
	case datadir.Restricted, datadir.Allow:
		return "none"
	}
	return a.Network
}

// inspectImage finds the image, or says how to come by it.
func inspectImage(ctx context.Context, e *engine.Engine, ref string) (engine.Image, error) {
	i, err := e.InspectImage(ctx, ref)
	if !errors.Is(err, engine.ErrNoImage) {
		return i, err
	}
	mend := fmt.Sprintf("`docker pull %s` fetches one that is in a registry", ref)
	if catalog.Named(ref) != "" && !strings.Contains(ref, "/") {
		mend = fmt.Sprintf("`make %s` in the project's directory builds it", catalog.Named(ref))
	}
	return i, fmt.Errorf("%w; %s", err, mend)
}

// checkDigest refuses an image that has got the name of the one that was meant: what is known
// of that one, that the suite has passed it above all, is not known of this one.
func (o Options) checkDigest(i engine.Image) error {
	if o.Digest == "" || o.Digest == i.ID {
		return nil
	}
	return fmt.Errorf("cannot run %s: it is not the image that was registered, but another that was given its name since; `sandbox images register %s` reads it again", o.Image, o.Image)
}

// makeVolumes makes a new sandbox's volumes, on the given directories if there are any. One
// that is there is somebody else's.
func makeVolumes(ctx context.Context, e *engine.Engine, d datadir.Dir, r datadir.Record, on ...string) error {
	for _, v := range r.Volumes {
		has, err := e.HasVolume(ctx, v)
		if err != nil {
			return err
		}
		if has {
			return fmt.Errorf("cannot make the volume %s: %w, of a sandbox of the same ID that another data directory knows; choose another --sandbox-id", v, errNotOurs)
		}
	}
	for i, v := range r.Volumes {
		var err error
		if len(on) == 0 {
			err = e.MakeVolume(ctx, v, labels(d, r))
		} else {
			err = e.MakeVolumeAt(ctx, v, on[i], labels(d, r))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errNotOurs = errors.New("it is there already")
