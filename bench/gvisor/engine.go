package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// runtimes are measured in this order.
var runtimes = []string{"runc", "runsc"}

// bridge is the engine's own: two engines on one would delete it from under each other.
const bridge = "mxgvisor0"

// runscFlags are what a sandbox needs of runsc. Sockets of the host's that are mounted are its only way to its
// storage. A sandbox has no network but through them, so runsc need not carry one of the host's.
var runscFlags = []string{"--host-uds=open", "--network=none"}

// engine is a dockerd of this program's own.
type engine struct {
	dir    string
	socket string
	cmd    *exec.Cmd
	ended  chan error
}

// startEngine starts one whose containers all run under runtime, and returns when it answers.
func startEngine(ctx context.Context, dir, runsc, runtime string) (*engine, error) {
	e := &engine{dir: filepath.Join(dir, runtime), ended: make(chan error, 1)}
	e.socket = filepath.Join(e.dir, "engine.sock")
	if err := os.Mkdir(e.dir, 0o711); err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"default-runtime": runtime,
		"runtimes":        map[string]any{"runsc": map[string]any{"path": runsc, "runtimeArgs": runscFlags}},
		"data-root":       filepath.Join(e.dir, "data"), "exec-root": filepath.Join(e.dir, "exec"), "pidfile": filepath.Join(e.dir, "pid"),
		"hosts": []string{"unix://" + e.socket}, "bridge": bridge, "iptables": false, "ip-masq": false, "log-level": "warn",
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(e.dir, "daemon.json"), config, 0o600); err != nil {
		return nil, err
	}
	if err := ip(ctx, "link", "add", bridge, "type", "bridge"); err != nil {
		return nil, err
	}
	// A network for documentation (RFC 5737): nothing routes it.
	if err := errors.Join(ip(ctx, "addr", "add", "198.51.100.1/24", "dev", bridge), ip(ctx, "link", "set", bridge, "up")); err != nil {
		return nil, errors.Join(err, e.removeBridge())
	}
	log, err := os.Create(filepath.Join(e.dir, "log"))
	if err != nil {
		return nil, errors.Join(err, e.removeBridge())
	}
	defer log.Close()
	e.cmd = exec.Command("dockerd", "--config-file", filepath.Join(e.dir, "daemon.json"))
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := e.cmd.Start(); err != nil {
		return nil, errors.Join(err, e.removeBridge())
	}
	go func() { e.ended <- e.cmd.Wait() }()
	if err := e.awaitAnswer(ctx); err != nil {
		copyTail(os.Stderr, log.Name())
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

func (e *engine) awaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		if e.docker(ctx, "version").Run() == nil {
			return nil
		}
		select {
		case err := <-e.ended:
			e.ended <- err
			return fmt.Errorf("the engine has ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("the engine does not answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// docker is a command of the engine's client, as e sees it.
func (e *engine) docker(ctx context.Context, args ...string) *exec.Cmd {
	return e.command(ctx, "docker", args...)
}

func (e *engine) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+e.socket)
	return cmd
}

// load copies an image from the usual engine.
func (e *engine) load(ctx context.Context, image string) error {
	save := exec.CommandContext(ctx, "docker", "save", image)
	load := e.docker(ctx, "load", "--quiet")
	content, err := save.StdoutPipe()
	if err != nil {
		return err
	}
	load.Stdin = content
	if err := errors.Join(save.Start(), load.Start()); err != nil {
		return err
	}
	err = load.Wait()
	content.Close() // a save that nothing reads any more ends
	if err := errors.Join(err, save.Wait()); err != nil {
		return fmt.Errorf("cannot copy the image %s; `make core` makes it: %w", image, err)
	}
	return nil
}

// stop ends the engine, which ends its containers, and takes its bridge away.
func (e *engine) stop() error {
	err := e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
	case <-time.After(time.Minute):
		err = errors.Join(err, errors.New("the engine does not end; it is killed"), syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL))
		<-e.ended
	}
	return errors.Join(err, e.removeBridge())
}

func (e *engine) removeBridge() error {
	return ip(context.Background(), "link", "del", bridge)
}

// ip runs ip(8) and has what it said in its error.
func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
