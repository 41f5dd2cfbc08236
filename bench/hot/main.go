package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/bench/delayline"
	"github.com/matrx/sandbox/bench/scaffold"
)

func main() {
	var j job
	if is, err := scaffold.IsStorage(&j); is {
		if err == nil {
			err = role(j)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench/hot:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.only, "only", "small,home,large,live", "what to measure")
	flag.DurationVar(&o.latency, "latency", 20*time.Millisecond, "what is added to each request in the second half; 0: no second half")
	flag.StringVar(&o.peers, "peers", "aws,rclone,s5cmd", "whom to measure beside us; none: the raw client and cp alone")
	flag.BoolVar(&o.far, "far", false, "leave out the half without latency")
	flag.StringVar(&o.sandbox, "sandbox", "", "a sandbox program that is built already, for the server")
	flag.StringVar(&o.dir, "dir", "", "where trees and objects go; a temporary directory")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/hot:", err)
		os.Exit(1)
	}
}

type options struct {
	only    string
	latency time.Duration
	peers   string
	far     bool
	dir     string
	sandbox string
}

// runner is what the measurements share.
type runner struct {
	options
	dir    string
	server *scaffold.Server
	line   *delayline.Line // nil: directly
	raw    string          // the raw client's program
	aws    string          // peers; empty: left out
	rclone string
	s5cmd  string
	bucket int
}

func run(o options) error {
	base, err := os.MkdirTemp(o.dir, "bench-hot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	l := &runner{options: o, dir: base, raw: filepath.Join(base, "raw")}
	programs := map[string]string{l.raw: "./bench/raw"}
	if o.sandbox == "" {
		o.sandbox = filepath.Join(base, "sandbox")
		programs[o.sandbox] = "./cmd/sandbox"
	}
	for target, pkg := range programs {
		if err := scaffold.Build(target, pkg); err != nil {
			return err
		}
	}
	if err := l.findPeers(); err != nil {
		return err
	}
	if l.server, err = scaffold.StartServer(context.Background(), o.sandbox, filepath.Join(base, "s3"), bucketNames()...); err != nil {
		return err
	}
	defer l.server.Stop()

	trees := map[string]func() error{"small": l.small, "home": l.home, "large": l.large, "live": l.live}
	for name := range strings.SplitSeq(o.only, ",") {
		if trees[name] == nil {
			return fmt.Errorf("-only %s: there are small, home, large and live", name)
		}
		for _, latency := range o.latencies() {
			if err := l.at(latency, trees[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// buckets is how many the server has from the start: each measurement begins with an empty one.
const buckets = 100

func bucketNames() (names []string) {
	for n := range buckets {
		names = append(names, fmt.Sprintf("bench-%d", n+1))
	}
	return names
}

// newBucket gives an unused bucket.
func (l *runner) newBucket() string {
	l.bucket++
	return fmt.Sprintf("bench-%d", l.bucket)
}

func (o options) latencies() []time.Duration {
	switch {
	case o.latency == 0:
		return []time.Duration{0}
	case o.far:
		return []time.Duration{o.latency}
	}
	return []time.Duration{0, o.latency}
}

// at runs f with a latency between the peers and the server.
func (l *runner) at(latency time.Duration, f func() error) error {
	line, err := delayline.New(l.server.Address, latency)
	if err != nil {
		return err
	}
	defer line.Close()
	l.line = line
	return f()
}

func (l *runner) endpoint() string { return "http://" + l.line.Address() }

func (l *runner) where() string {
	if l.line.Delay() == 0 {
		return "directly"
	}
	return fmt.Sprintf("with %v added to each request", l.line.Delay())
}

// findPeers looks for the peers. The real aws of the distribution is meant, not a newer
// one that happens to come first in PATH.
func (l *runner) findPeers() error {
	wanted := func(name string) bool { return slices.Contains(strings.Split(l.options.peers, ","), name) }
	for _, p := range []struct {
		to   *string
		name string
	}{{&l.aws, "aws"}, {&l.rclone, "rclone"}} {
		if !wanted(p.name) {
			continue
		}
		path := "/usr/bin/" + p.name
		if _, err := os.Stat(path); err != nil {
			if path, err = exec.LookPath(p.name); err != nil {
				return fmt.Errorf("%s is not installed: make bench-hot installs it, or leave it out with -peers", p.name)
			}
		}
		*p.to = path
	}
	if !wanted("s5cmd") {
		return nil
	}
	var err error
	if l.s5cmd, err = exec.LookPath("s5cmd"); err != nil {
		l.s5cmd, err = buildS5cmd(filepath.Join(l.dir, "s5cmd"))
	}
	if err != nil {
		fmt.Println("s5cmd is left out:", err)
	}
	return nil
}

const s5cmdVersion = "v2.3.0"

// buildS5cmd builds s5cmd in a module of its own, so that ours has none of what it needs.
func buildS5cmd(dir string) (string, error) {
	const pkg = "github.com/peak/s5cmd/v2"
	err := errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module s5cmd\n\ngo 1.26.0\n\nrequire "+pkg+" "+s5cmdVersion+"\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "tools.go"), []byte("//go:build tools\n\npackage s5cmd\n\nimport _ \""+pkg+"\"\n"), 0o644))
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "bin", "s5cmd")
	cmd := exec.Command("go", "build", "-o", binary, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %s %s: %w: %s", pkg, s5cmdVersion, err, scaffold.Tail(string(out)))
	}
	return binary, nil
}
