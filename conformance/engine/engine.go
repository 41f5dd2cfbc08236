// Package engine starts the containers of the suite, with testcontainers-go and the
// client below it. Every container bears the label Label with the run's ID, so that one
// sweep removes what a run left, however it ended.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"

	"github.com/matrx/sandbox/conformance/image"
)

// Label marks the suite's containers; its value is the run's ID.
const Label = "dev.matrx.sandbox.conformance"

// Engine is a connection to a Docker engine.
type Engine struct {
	cli *testcontainers.DockerClient
	Run string // the run's ID
	Is  string // name and version, for reports
}

// Connect finds the engine as docker does (DOCKER_HOST, the context, the usual socket).
func Connect(ctx context.Context, run string) (*Engine, error) {
	// Ryuk, testcontainers' reaper, is an image to be pulled, and the suite needs no
	// network: Sweep does its work.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return nil, err
	}
	tclog.SetDefault(quiet{}) // its banner is not ours to print
	if err := named(ctx); err != nil {
		return nil, noEngine(err)
	}
	cli, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, noEngine(err)
	}
	v, err := cli.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		cli.Close()
		return nil, noEngine(err)
	}
	return &Engine{cli: cli, Run: run, Is: fmt.Sprintf("Docker %s, API %s", v.Version, v.APIVersion)}, nil
}

// named asks the engine that DOCKER_HOST names: testcontainers would go on to another one
// when it does not answer, and judge an image of the same name there.
func named(ctx context.Context) error {
	if os.Getenv("DOCKER_HOST") == "" {
		return nil
	}
	cli, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer cli.Close()
	_, err = cli.Ping(ctx, client.PingOptions{})
	return err
}

func noEngine(err error) error {
	return fmt.Errorf("no Docker engine answers: %w; start one (systemctl start docker) or set DOCKER_HOST", err)
}

// quiet is testcontainers' logger: what goes wrong comes back as errors.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// Close ends the connection.
func (e *Engine) Close() error { return e.cli.Close() }

// Sweep removes all containers of this run.
func (e *Engine) Sweep(ctx context.Context) error {
	list, err := e.cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", Label+"="+e.Run)})
	if err != nil {
		return fmt.Errorf("cannot list the suite's containers: %w", err)
	}
	var errs []error
	for _, c := range list.Items {
		_, err := e.cli.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		// Gone already, or being removed by another program: either will do.
		if err != nil && !cerrdefs.IsNotFound(err) && !cerrdefs.IsConflict(err) {
			errs = append(errs, fmt.Errorf("cannot remove container %s: %w", c.ID, err))
		}
	}
	return errors.Join(errs...)
}

// Created says nil for each container of this run that is made, until ctx ends, and an
// error when the engine says no more before that.
func (e *Engine) Created(ctx context.Context) <-chan error {
	stream := e.cli.Events(ctx, client.EventsListOptions{
		Filters: make(client.Filters).Add("type", "container").Add("event", "create").Add("label", Label+"="+e.Run),
	})
	out := make(chan error)
	go func() {
		defer close(out)
		for {
			select {
			case <-stream.Messages:
				out <- nil
			case err := <-stream.Err:
				if ctx.Err() == nil {
					out <- fmt.Errorf("cannot follow the engine's events: %w", err)
				}
				return
			}
		}
	}()
	return out
}

// ImageID is the digest of an image's configuration; an error when the engine does not have it.
func (e *Engine) ImageID(ctx context.Context, ref string) (string, error) {
	info, err := e.cli.ImageInspect(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("the engine has no image %s: %w; build or pull it first", ref, err)
	}
	return info.ID, nil
}

// Layers are an image's diff IDs, the lowest first.
func (e *Engine) Layers(ctx context.Context, ref string) ([]string, error) {
	info, err := e.cli.ImageInspect(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("the engine has no image %s: %w; build or pull it first", ref, err)
	}
	return info.RootFS.Layers, nil
}

// Image reads an image without running it.
func (e *Engine) Image(ctx context.Context, ref string) (*image.Image, error) {
	export, err := e.cli.ImageSave(ctx, []string{ref})
	if err != nil {
		return nil, fmt.Errorf("cannot export image %s: %w", ref, err)
	}
	defer export.Close()
	return image.Read(export)
}
