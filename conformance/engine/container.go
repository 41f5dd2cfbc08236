package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	pathpkg "path"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// Spec says how to start a container.
type Spec struct {
	Image      string
	Entrypoint []string // nil: the image's
	Cmd        []string
	Env        map[string]string
	User       string // "": the image's
	Binds      []string
	Caps       []string // with all others dropped
	Devices    []string // host paths, e.g. /dev/fuse
	Privileges bool     // without no-new-privileges
	Network    string   // "" none
	Tmpfs      map[string]string
	PidsLimit  int64
	Memory     int64 // bytes
	StopAfter  time.Duration
	TTY        bool
}

// Container is a container of the suite.
type Container struct {
	engine *Engine
	c      *testcontainers.DockerContainer
	ID     string
}

// Create makes a container without starting it.
func (e *Engine) Create(ctx context.Context, s Spec) (*Container, error) {
	network := s.Network
	if network == "" {
		network = "none"
	}
	stop := int(s.StopAfter.Seconds())
	options := []testcontainers.ContainerCustomizer{
		testcontainers.WithNoStart(),
		testcontainers.WithEnv(s.Env),
		testcontainers.WithLabels(map[string]string{Label: e.Run}),
		testcontainers.WithConfigModifier(func(c *container.Config) {
			c.User = s.User
			c.Tty = s.TTY
			c.Cmd = s.Cmd
			if s.Entrypoint != nil {
				c.Entrypoint = s.Entrypoint
			}
			if stop > 0 {
				c.StopTimeout = &stop
			}
		}),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			h.NetworkMode = container.NetworkMode(network)
			h.Binds = s.Binds
			h.CapDrop = []string{"ALL"}
			h.CapAdd = s.Caps
			h.Tmpfs = s.Tmpfs
			if !s.Privileges {
				h.SecurityOpt = []string{"no-new-privileges"}
			}
			if s.PidsLimit > 0 {
				h.PidsLimit = &s.PidsLimit
			}
			h.Memory, h.MemorySwap = s.Memory, s.Memory
			for _, d := range s.Devices {
				h.Devices = append(h.Devices, container.DeviceMapping{PathOnHost: d, PathInContainer: d, CgroupPermissions: "rwm"})
			}
		}),
	}
	c, err := testcontainers.Run(ctx, s.Image, options...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a container of %s: %w", s.Image, err)
	}
	return &Container{engine: e, c: c, ID: c.GetContainerID()}, nil
}

// Start starts a container that was created, or that has ended.
func (c *Container) Start(ctx context.Context) error {
	if _, err := c.engine.cli.ContainerStart(ctx, c.ID, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("cannot start the container: %w", err)
	}
	return nil
}

// Wait waits until the container is not running and returns its exit code.
func (c *Container) Wait(ctx context.Context) (int, error) {
	w := c.engine.cli.ContainerWait(ctx, c.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case r := <-w.Result:
		if r.Error != nil {
			return 0, fmt.Errorf("cannot wait for the container: %s", r.Error.Message)
		}
		return int(r.StatusCode), nil
	case err := <-w.Error:
		return 0, fmt.Errorf("cannot wait for the container: %w", err)
	case <-ctx.Done():
		return 0, fmt.Errorf("the container has not ended: %w", context.Cause(ctx))
	}
}

// Signal sends a signal to PID 1: "SIGTERM", "SIGKILL".
func (c *Container) Signal(ctx context.Context, signal string) error {
	if _, err := c.engine.cli.ContainerKill(ctx, c.ID, client.ContainerKillOptions{Signal: signal}); err != nil {
		return fmt.Errorf("cannot send %s to the container: %w", signal, err)
	}
	return nil
}

// Logs are what the container printed, both streams.
func (c *Container) Logs(ctx context.Context) (string, error) {
	r, err := c.engine.cli.ContainerLogs(ctx, c.ID, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return "", fmt.Errorf("cannot read the container's output: %w", err)
	}
	defer r.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, r); err != nil {
		return "", fmt.Errorf("cannot read the container's output: %w", err)
	}
	return out.String(), nil
}

// Exec runs a program in the container and returns its exit code and what it printed, both streams.
func (c *Container) Exec(ctx context.Context, user string, argv ...string) (int, string, error) {
	var out bytes.Buffer
	code, err := c.exec(ctx, user, argv, &out, &out)
	return code, out.String(), err
}

// ExecStreams is Exec with the two streams apart.
func (c *Container) ExecStreams(ctx context.Context, user string, argv ...string) (code int, stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	code, err = c.exec(ctx, user, argv, &out, &errs)
	return code, out.String(), errs.String(), err
}

func (c *Container) exec(ctx context.Context, user string, argv []string, stdout, stderr io.Writer) (int, error) {
	made, err := c.engine.cli.ExecCreate(ctx, c.ID, client.ExecCreateOptions{User: user, Cmd: argv, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return 0, fmt.Errorf("cannot exec %q: %w", argv, err)
	}
	attached, err := c.engine.cli.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return 0, fmt.Errorf("cannot exec %q: %w", argv, err)
	}
	defer attached.Close()
	stop := context.AfterFunc(ctx, func() { attached.Close() })
	defer stop()
	if _, err := stdcopy.StdCopy(stdout, stderr, attached.Reader); err != nil {
		return 0, fmt.Errorf("cannot exec %q: %w", argv, errors.Join(err, context.Cause(ctx)))
	}
	done, err := c.engine.cli.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err != nil {
		return 0, fmt.Errorf("cannot exec %q: %w", argv, err)
	}
	return done.ExitCode, nil
}

// ReadFile reads a file of the container, which need not run; nil when there is none.
// Symbolic links are followed.
func (c *Container) ReadFile(ctx context.Context, path string) ([]byte, error) {
	for range 8 {
		content, link, err := c.readFile(ctx, path)
		if err != nil || link == "" {
			return content, err
		}
		if !pathpkg.IsAbs(link) {
			link = pathpkg.Join(pathpkg.Dir(path), link)
		}
		path = link
	}
	return nil, fmt.Errorf("cannot read %s of the container: too many symbolic links", path)
}

func (c *Container) readFile(ctx context.Context, path string) (content []byte, link string, err error) {
	r, err := c.engine.cli.CopyFromContainer(ctx, c.ID, client.CopyFromContainerOptions{SourcePath: path})
	if cerrdefs.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot read %s of the container: %w", path, err)
	}
	defer r.Content.Close()
	tr := tar.NewReader(r.Content)
	h, err := tr.Next()
	if err != nil {
		return nil, "", fmt.Errorf("cannot read %s of the container: %w", path, err)
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil, h.Linkname, nil
	}
	content, err = io.ReadAll(tr)
	return content, "", err
}

// Remove kills and removes the container with its volumes.
func (c *Container) Remove(ctx context.Context) error {
	_, err := c.engine.cli.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil {
		return fmt.Errorf("cannot remove the container: %w", err)
	}
	return nil
}
