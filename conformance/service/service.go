// Package service starts the servers that an image's own check may ask for. A server runs on the host,
// serves a unix socket only, and its socket's directory is mounted where its clients look for it.
// Debian's servers are used where they are installed; the error says what to install. A server dies
// with the run that started it: see package deathwatch.
package service

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
)

// kind is a server that can be asked for.
type kind struct {
	// start makes the server serve in dir and returns when it does; stop ends it.
	start func(ctx context.Context, h Host, dir string) (stop func(), err error)
	mount string // the directory in the sandbox
}

// kinds are those that a line "# service: NAME" can ask for.
var kinds = map[string]kind{
	"postgres": {start: startPostgres, mount: "/run/postgresql"},
	"mariadb":  {start: startMariaDB, mount: "/run/mysqld"},
	"redis":    {start: startRedis, mount: "/run/redis"},
}

// Names are the servers that can be asked for, in order.
func Names() []string { return slices.Sorted(maps.Keys(kinds)) }

// Host is where servers run.
type Host struct {
	Program string // the suite's own program, whose subcommand is each server's deathwatch
	Lock    string // the file that tells the reaper which servers still live
	Dir     string // of their sockets and data
}

// Set shares each server among the checks of a run.
type Set struct {
	host Host

	mu      sync.Mutex
	running map[string]*running // by name
}

type running struct {
	once sync.Once
	dir  string
	stop func()
	err  error
}

// New makes an empty set.
func New(h Host) *Set { return &Set{host: h, running: map[string]*running{}} }

// Bind starts a server at the first call, and returns the bind mount that brings its socket into a sandbox.
func (s *Set) Bind(ctx context.Context, name string) (string, error) {
	s.mu.Lock()
	r := s.running[name]
	if r == nil {
		r = &running{dir: filepath.Join(s.host.Dir, "service-"+name)}
		s.running[name] = r
	}
	s.mu.Unlock()
	r.once.Do(func() { r.stop, r.err = s.start(context.WithoutCancel(ctx), name, r.dir) })
	if r.err != nil {
		return "", fmt.Errorf("cannot start the service %s: %w", name, r.err)
	}
	return r.dir + ":" + kinds[name].mount, nil
}

func (s *Set) start(ctx context.Context, name, dir string) (stop func(), err error) {
	k, known := kinds[name]
	if !known {
		return nil, fmt.Errorf("there is none of this name; there are %q", Names())
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the umask may have taken bits away
		return nil, err
	}
	return k.start(ctx, s.host, dir)
}

// Stop ends all servers.
func (s *Set) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		if r.stop != nil {
			r.stop()
		}
	}
}

// findServer finds a server's program; Debian keeps some of them out of PATH.
func findServer(remedy string, candidates ...string) (string, error) {
	for _, c := range candidates {
		if filepath.IsAbs(c) {
			matches, _ := filepath.Glob(c)
			if len(matches) > 0 {
				return matches[len(matches)-1], nil
			}
			continue
		}
		if p, err := exec.LookPath(c); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("none of %q is installed; %s", candidates, remedy)
}
