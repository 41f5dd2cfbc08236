package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// capabilities are what sandbox-init needs as root and the workload never has: to
// become the agent (SETUID, SETGID), to empty the bounding set (SETPCAP), to signal the
// agent's processes (KILL), and to write the agent's files (CHOWN, FOWNER, DAC_OVERRIDE).
var capabilities = []string{"SETUID", "SETGID", "SETPCAP", "KILL", "CHOWN", "FOWNER", "DAC_OVERRIDE"}

// fuseDevice and fuseCapability are what the mount of the cold path needs besides.
const (
	fuseDevice     = "/dev/fuse"
	fuseCapability = "SYS_ADMIN"
)

// Spec says how to make a sandbox's container.
type Spec struct {
	Name    string
	Image   string
	Command []string // empty: the image's
	Env     []string // KEY=VALUE
	Labels  map[string]string

	TTY   bool
	Stdin bool // kept open for clients that attach

	// StopTimeout is how long the engine waits between SIGTERM and SIGKILL, whichever client stops the
	// container. Cut to whole seconds.
	StopTimeout time.Duration

	Volumes []Volume
	Binds   []Mount  // a directory of the host's, where
	Private []string // small directories in memory that only root may enter; a bind may lie below
	Network string   // empty: the engine's default

	// FUSE asks for what the cold path's mount needs. It is given when the host has the device.
	FUSE bool

	Limits Limits

	Runtime string // the engine's name of an OCI runtime, as runsc; empty: its default
	Devices Devices

	Confinement Confinement
}

// Volume is a named volume. One that is not there is made with the container, in one call and with the
// container's labels, so that none is left which no label says the owner of.
type Volume struct {
	Name   string
	Target string
}

func (v Volume) mount(labels map[string]string) mount.Mount {
	return mount.Mount{Type: mount.TypeVolume, Source: v.Name, Target: v.Target, VolumeOptions: &mount.VolumeOptions{Labels: labels}}
}

// Mount is what is mounted where in the container.
type Mount struct{ Source, Target string }

// Create makes the container and does not start it. ErrNoImage, ErrNameTaken.
func (e *Engine) Create(ctx context.Context, s Spec) (id string, err error) {
	ctx, end := e.bounded(ctx)
	defer end()
	res, err := e.c.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:       s.Name,
		Config:     s.config(),
		HostConfig: s.host(e.facts.AppArmor),
	})
	switch {
	case errdefs.IsConflict(err):
		return "", fmt.Errorf("cannot make the container %s: %w", s.Name, ErrNameTaken)
	case err != nil:
		return "", wrap(err, ErrNoImage, "cannot make the container %s from %s", s.Name, s.Image)
	}
	return res.ID, nil
}

func (s Spec) config() *container.Config {
	timeout := int(s.StopTimeout / time.Second)
	return &container.Config{
		User:         "0", // sandbox-init gives the workload to the agent
		Image:        s.Image,
		Cmd:          s.Command,
		Env:          s.Env,
		Labels:       s.Labels,
		Tty:          s.TTY,
		OpenStdin:    s.Stdin,
		StdinOnce:    s.Stdin,
		AttachStdin:  s.Stdin,
		AttachStdout: true,
		AttachStderr: true,
		StopTimeout:  &timeout,
	}
}

func (s Spec) host(apparmor bool) *container.HostConfig {
	h := &container.HostConfig{
		CapDrop:     []string{"ALL"},
		CapAdd:      append([]string(nil), capabilities...),
		SecurityOpt: []string{"no-new-privileges:true"},
		NetworkMode: container.NetworkMode(s.Network),
		// Shared memory of System V goes with the last process that has it, and does not stay to
		// use up the sandbox's memory.
		Sysctls: map[string]string{"kernel.shm_rmid_forced": "1"},
		// A log that a chatty workload cannot fill the host's disk with.
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": strconv.Itoa(logFileSize), "max-file": strconv.Itoa(logFiles)}},
	}
	for _, v := range s.Volumes {
		h.Mounts = append(h.Mounts, v.mount(s.Labels))
	}
	for _, m := range s.Binds {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target})
	}
	for _, p := range s.Private {
		setTmpfs(h, p, "rw,nosuid,nodev,noexec,mode=0700,size=64k")
	}
	s.Limits.apply(h)
	s.Confinement.apply(h)
	s.Devices.apply(h)
	h.Runtime = s.Runtime
	if s.FUSE && exists(fuseDevice) {
		h.CapAdd = append(h.CapAdd, fuseCapability)
		h.Devices = append(h.Devices, container.DeviceMapping{PathOnHost: fuseDevice, PathInContainer: fuseDevice, CgroupPermissions: "rwm"})
		if apparmor && s.Confinement.AppArmor == "" {
			// docker-default denies mount(2) with any capabilities. The workload has
			// none and no_new_privs; see Spec.FUSE for doing without.
			h.SecurityOpt = append(h.SecurityOpt, "apparmor=unconfined")
		}
	}
	return h
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
