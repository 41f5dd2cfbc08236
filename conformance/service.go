package conformance

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

// service is a server that an image's own check may ask for. It runs on the host, serves
// a unix socket only, and its socket's directory is mounted where its clients look for it.
type service struct {
	// start makes the server serve in dir and returns when it does; stop ends it.
	start func(ctx context.Context, h host, dir string) (stop func(), err error)
	mount string // the directory in the sandbox
}

// host is where servers run.
type host struct {
	program string // the suite's own program, which they are tethered to
	lock    string
}

// services are those that a line "# service: NAME" can ask for. Debian's servers are used
// where they are installed; the error says what to install.
var services = map[string]service{
	"postgres": {start: startPostgres, mount: "/run/postgresql"},
	"mariadb":  {start: startMariaDB, mount: "/run/mysqld"},
	"redis":    {start: startRedis, mount: "/run/redis"},
}

func serviceNames() []string { return slices.Sorted(maps.Keys(services)) }

// running shares a server among the checks of a run.
type running struct {
	once sync.Once
	dir  string
	stop func()
	err  error
}

func (s *shared) service(ctx context.Context, name string) (dir string, err error) {
	s.mu.Lock()
	r := s.running[name]
	if r == nil {
		r = &running{}
		if s.running == nil {
			s.running = map[string]*running{}
		}
		s.running[name] = r
	}
	s.mu.Unlock()
	r.once.Do(func() {
		r.dir = filepath.Join(s.dir, "service-"+name)
		if r.err = os.MkdirAll(r.dir, 0o755); r.err != nil {
			return
		}
		if r.err = os.Chmod(r.dir, 0o755); r.err == nil {
			r.stop, r.err = services[name].start(context.WithoutCancel(ctx), host{filepath.Join(s.programs, serverProgram), s.lock()}, r.dir)
		}
	})
	if r.err != nil {
		return "", fmt.Errorf("cannot start the service %s: %w", name, r.err)
	}
	return r.dir, nil
}

func (s *shared) stopServices() {
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
