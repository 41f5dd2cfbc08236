package run

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
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
	execSocket    = socketsDir + "/" + contract.HostExecSocketName
	proxySocket   = socketsDir + "/" + contract.HostProxySocketName
	memorySocket  = socketsDir + "/" + contract.HostMemorySocketName
)

// containerName is the name of a sandbox's container.
func containerName(sandboxID string) string { return "sandbox-" + sandboxID }

// volumeNames are a sandbox's own. They are two because engines before 26 cannot mount a part
// of one, and a pair is always made, kept and removed together.
func volumeNames(sandboxID string) []string {
	return []string{containerName(sandboxID) + "-home", containerName(sandboxID) + "-state"}
}

// keepsDirs says that a new sandbox's home and state are directories of the data directory: the operator is
// root, and so is the engine's root.
func keepsDirs(m engine.Machine) bool { return os.Geteuid() == 0 && !m.OtherIDs }

// withHome is a spec that says what is mounted as home and state.
func withHome(spec engine.Spec, sandboxDir datadir.Sandbox, r datadir.Record) engine.Spec {
	home, state := sandboxDir.HomeDir(), sandboxDir.StateDir()
	switch {
	case r.Limits.Disk != 0:
		home, state = sandboxDir.Disk().Home(), sandboxDir.Disk().State()
	case !r.Dirs:
		spec.Volumes = []engine.Volume{{Name: r.Volumes[0], Target: contract.DefaultHotPath}, {Name: r.Volumes[1], Target: contract.DefaultStateDir}}
		return spec
	}
	spec.Binds = append(slices.Clone(spec.Binds), engine.Mount{Source: home, Target: contract.DefaultHotPath}, engine.Mount{Source: state, Target: contract.DefaultStateDir})
	return spec
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
	var devices engine.Devices
	if r.Fresh { // one that only saves needs none
		devices, _ = engine.ParseDevices(r.GPUs, r.Devices) // checked when the record was made
	}
	return engine.Spec{
		Name:        containerName(r.SandboxID),
		Image:       r.RunsImage(),
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
		Runtime:     r.Confinement.Runtime,
		Devices:     devices,
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
func inspectImage(ctx context.Context, e *engine.Engine, r datadir.Record) (engine.Image, error) {
	i, err := e.InspectImage(ctx, r.RunsImage())
	if !errors.Is(err, engine.ErrNoImage) {
		return i, err
	}
	ref := r.Image
	if r.ImageID != "" {
		return i, fmt.Errorf("cannot use the image %s, as which %s was checked when the sandbox was made: %w; fetch that very one, or name another with --image", r.ImageID, ref, engine.ErrNoImage)
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

// checkVolumes refuses names that another sandbox's volumes have: the engine would mount those.
func checkVolumes(ctx context.Context, e *engine.Engine, r datadir.Record) error {
	if len(r.Volumes) == 0 {
		return nil
	}
	names, err := e.VolumesNamed(ctx, r.Volumes...)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("cannot make the volume %s: %w, of a sandbox of the same ID that another data directory knows; choose another --sandbox-id", names[0], errNotOurs)
	}
	return nil
}

var errNotOurs = errors.New("it is there already")
