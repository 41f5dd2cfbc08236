package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Container is what the engine knows of a container.
type Container struct {
	ID      string
	Name    string
	Image   string
	Labels  map[string]string
	Created time.Time
	Running bool   // its processes may live: running, paused or restarting
	PID     int    // of its first process, on the engine's machine; 0: it does not run
	Status  string // in the engine's words

	// ExitCode, OOMKilled and Finished are those of the last run, once not running.
	ExitCode  int
	OOMKilled bool
	Finished  time.Time
	Started   bool      // it ran at least once, and the last time
	Began     time.Time // from then on
	TTY       bool
	Problem   string // why the engine could not start it

	stopTimeout time.Duration // see Spec.StopTimeout
}

// Inspect asks for one container; ErrNoContainer.
func (e *Engine) Inspect(ctx context.Context, id string) (Container, error) {
	ctx, end := e.bounded(ctx)
	defer end()
	res, err := e.c.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return Container{}, wrap(err, ErrNoContainer, "cannot ask for the container %s", short(id))
	}
	r := res.Container
	c := Container{ID: r.ID, Name: strings.TrimPrefix(r.Name, "/"), Image: r.Image}
	c.Created, _ = time.Parse(time.RFC3339Nano, r.Created)
	if r.Config != nil {
		c.Labels, c.Image, c.TTY = r.Config.Labels, r.Config.Image, r.Config.Tty
		if t := r.Config.StopTimeout; t != nil {
			c.stopTimeout = time.Duration(*t) * time.Second
		}
	}
	if s := r.State; s != nil {
		c.PID = s.Pid
		c.Running = s.Running || s.Paused || s.Restarting
		c.Status, c.ExitCode, c.OOMKilled, c.Problem = string(s.Status), s.ExitCode, s.OOMKilled, s.Error
		c.Finished, _ = time.Parse(time.RFC3339Nano, s.FinishedAt)
		c.Began, _ = time.Parse(time.RFC3339Nano, s.StartedAt)
		c.Started = c.Began.Year() > 1
	}
	return c, nil
}

// List gives the containers that have all of the labels ("KEY" or "KEY=VALUE").
func (e *Engine) List(ctx context.Context, labels ...string) ([]Container, error) {
	ctx, end := e.bounded(ctx)
	defer end()
	res, err := e.c.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", labels...)})
	if err != nil {
		return nil, wrap(err, nil, "cannot list the containers")
	}
	var out []Container
	for _, r := range res.Items {
		c := Container{ID: r.ID, Image: r.Image, Labels: r.Labels, Created: time.Unix(r.Created, 0), Status: r.Status}
		if len(r.Names) > 0 {
			c.Name = strings.TrimPrefix(r.Names[0], "/")
		}
		switch r.State {
		case container.StateRunning, container.StatePaused, container.StateRestarting:
			c.Running = true
		}
		c.Started = r.State != container.StateCreated
		out = append(out, c)
	}
	return out, nil
}

// Start starts it.
func (e *Engine) Start(ctx context.Context, id string) error {
	ctx, end := e.bounded(ctx)
	defer end()
	_, err := e.c.ContainerStart(ctx, id, client.ContainerStartOptions{})
	if err != nil && strings.Contains(err.Error(), "setting rlimit") {
		return fmt.Errorf("cannot start the container %s with that many open files: the engine has no right to give more than its own limit; ask for fewer with --open-files", short(id))
	}
	// What is not found may be its network as well: the engine says which.
	return wrap(err, nil, "cannot start the container %s", short(id))
}

// Stop sends SIGTERM, and SIGKILL when the timeout that the container was made with has
// passed. It returns when the container has ended.
func (e *Engine) Stop(ctx context.Context, id string) error {
	c, err := e.Inspect(ctx, id)
	if err != nil {
		return err
	}
	ctx, end := context.WithTimeout(ctx, c.stopTimeout+e.within)
	defer end()
	_, err = e.c.ContainerStop(ctx, id, client.ContainerStopOptions{})
	return wrap(err, ErrNoContainer, "cannot stop the container %s", short(id))
}

// Signal sends a signal to PID 1. One that has ended meanwhile is no error.
func (e *Engine) Signal(ctx context.Context, id, signal string) error {
	ctx, end := e.bounded(ctx)
	defer end()
	_, err := e.c.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: signal})
	if err != nil {
		if c, ierr := e.Inspect(ctx, id); ierr == nil && !c.Running {
			return nil
		}
	}
	return wrap(err, ErrNoContainer, "cannot send %s to the container %s", signal, short(id))
}

// Remove removes it, its anonymous volumes, and with force a running one as well. One
// that is not there is no error.
func (e *Engine) Remove(ctx context.Context, id string, force bool) error {
	ctx, end := e.bounded(ctx)
	defer end()
	_, err := e.c.ContainerRemove(ctx, id, client.ContainerRemoveOptions{RemoveVolumes: true, Force: force})
	return ignoreMissing(wrap(err, ErrNoContainer, "cannot remove the container %s", short(id)))
}

// Exit is the end of a container's run.
type Exit struct {
	Code int
	Err  error // the engine could not tell
}

// Wait gives the channel on which the end of the container's run arrives. With next, it
// is the next end, and Wait has registered with the engine when it returns: called before
// Start, it misses nothing. Without, one that does not run has already ended.
func (e *Engine) Wait(ctx context.Context, id string, next bool) <-chan Exit {
	condition := container.WaitConditionNotRunning
	if next {
		condition = container.WaitConditionNextExit
	}
	ctx, cancel := context.WithCancel(ctx)
	res := e.c.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: condition})
	out := make(chan Exit, 1)
	go func() {
		defer cancel()
		select {
		case r := <-res.Result:
			out <- Exit{Code: int(r.StatusCode)}
		case err := <-res.Error:
			out <- Exit{Err: wrap(err, ErrNoContainer, "cannot wait for the container %s", short(id))}
		case <-ctx.Done():
			// The client hands over the result on a channel without room.
			select {
			case <-res.Result:
				out <- Exit{Err: context.Cause(ctx)}
			case err := <-res.Error:
				out <- Exit{Err: errors.Join(context.Cause(ctx), err)}
			}
		}
	}()
	return out
}

// Logs writes the container's output; follow goes on until it ends. tail is how many of
// the last lines, negative: all.
func (e *Engine) Logs(ctx context.Context, id string, tty, follow bool, tail int, out, errw io.Writer) error {
	o := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow}
	if tail >= 0 {
		o.Tail = strconv.Itoa(tail)
	}
	r, err := e.c.ContainerLogs(ctx, id, o)
	if err != nil {
		return wrap(err, ErrNoContainer, "cannot read the output of the container %s", short(id))
	}
	defer r.Close()
	if err := demux(tty, out, errw, r); err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot read the output of the container %s: %w", short(id), err)
	}
	return nil
}

func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}
