package run

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/engine/apparmor"
	"github.com/matrx/sandbox/internal/host/engine/seccomp"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// browser is the capability of images whose browser confines its own processes.
const browser = "browser"

// confine decides what a sandbox's processes are held to. The manifest is nil when the
// image has none.
//
// The root is read-only in restricted alone, unless it is asked for or against: what a
// sandbox may fetch is unpacked in /tmp and kept in caches, which then are in memory.
func (x *session) confine(m *catalog.Manifest) datadir.Confinement {
	c := datadir.Confinement{ReadOnlyRoot: x.record.Access.Mode == datadir.Restricted, Seccomp: datadir.SeccompSandbox, Runtime: x.Runtime}
	if x.ReadOnly != nil {
		c.ReadOnlyRoot = *x.ReadOnly
	}
	switch {
	case !x.engine.HasSeccomp():
		c.Seccomp = datadir.SeccompEngine
		x.out.say("the container engine takes no seccomp profile: a sandbox may call what the engine allows")
	case m != nil && slices.Contains(m.Capabilities, browser):
		c.Seccomp = datadir.SeccompBrowser
	}
	return c
}

// confineByAppArmor names the profile that is in force, and loads it where it can. Each
// start does so: the machine may have been started anew since the last one.
func (x *session) confineByAppArmor(ctx context.Context) string {
	name, err := appArmor(x.engine.HasAppArmor(), !x.NoFUSE, func() (string, error) { return apparmor.Load(ctx) })
	if err != nil {
		x.out.say("%v; the sandbox runs unconfined by AppArmor", err)
	}
	return name
}

// appArmor is the rule: ours where there is a mount to allow. That only root may load it is
// no error, since an operator who is not can do nothing about it each time.
func appArmor(has, mounts bool, load func() (string, error)) (string, error) {
	switch {
	case !has:
		return datadir.AppArmorNone, nil
	case !mounts:
		return datadir.AppArmorEngine, nil
	}
	name, err := load()
	switch {
	case errors.Is(err, apparmor.ErrNotRoot):
		return datadir.AppArmorUnconfined, nil
	case err != nil:
		return datadir.AppArmorUnconfined, err
	}
	return name, nil
}

// confinement is what is decided, in the engine's terms.
func (o Options) confinement(r datadir.Record, cold string) (engine.Confinement, error) {
	c := engine.Confinement{ReadOnly: r.Confinement.ReadOnlyRoot}
	if c.ReadOnly {
		c.Scratch = scratch(r.Limits.Tmp, cold)
	}
	switch r.Confinement.AppArmor {
	case "", datadir.AppArmorNone, datadir.AppArmorEngine, datadir.AppArmorUnconfined:
	default:
		c.AppArmor = r.Confinement.AppArmor
	}
	var err error
	switch r.Confinement.Seccomp {
	case datadir.SeccompSandbox, datadir.SeccompBrowser:
		c.Seccomp, err = seccomp.Profile(seccomp.Needs{Mount: !o.NoFUSE, Namespaces: r.Confinement.Seccomp == datadir.SeccompBrowser})
	}
	return c, err
}

// scratch are the directories beside the home that images of this family have for the
// agent to write to, but for /tmp, which is a limit's. The cold path's directory is in every
// image; where it is asked for elsewhere it could not be made below a read-only root.
func scratch(size int64, cold string) []engine.Scratch {
	s := []engine.Scratch{
		{Path: "/var/tmp", Size: size, Mode: 0o1777},
		{Path: cacheDir, Size: size, Mode: 0o700, UID: contract.AgentUID},
	}
	if cold != contract.DefaultColdPath {
		s = append(s, engine.Scratch{Path: cold, Size: 4 << 10, Mode: 0o555})
	}
	return s
}

// cacheDir is where the images keep caches (XDG_CACHE_HOME): out of the home, which is saved.
const cacheDir = "/var/tmp/agent-cache"

// coldPath is COLD_PATH as sandbox-init will read it: the last one that is said counts. What
// cannot be one is sandbox-init's to refuse.
func coldPath(environments ...[]string) string {
	cold := contract.DefaultColdPath
	for _, env := range environments {
		for _, kv := range env {
			if v, ok := strings.CutPrefix(kv, contract.EnvColdPath+"="); ok && path.IsAbs(v) && path.Clean(v) != "/" {
				cold = path.Clean(v)
			}
		}
	}
	return cold
}

// avoidGVisorFUSE does without the mount of the cold path under gVisor: a look at it ends gVisor's kernel, and
// with it the sandbox (docs/gvisor.md).
func (x *session) avoidGVisorFUSE() {
	if isGVisor(x.Runtime) && !x.NoFUSE {
		x.NoFUSE = true
		x.out.say("gVisor cannot serve the mount of the cold path: it is left out, and sandbox-init cold ls, get and put reach the files")
	}
}

// isGVisor knows a runtime by its name alone.
func isGVisor(runtime string) bool { return strings.HasPrefix(runtime, "runsc") }
