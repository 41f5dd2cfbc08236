package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/bench/delayline"
	"github.com/matrx/sandbox/bench/rawclient"
	"github.com/matrx/sandbox/bench/scaffold"
)

func main() {
	var j scaffold.Storage
	if is, err := scaffold.IsStorage(&j); is {
		if err == nil {
			err = role(j)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench/cold:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.only, "only", "", "the workloads to measure; all")
	flag.DurationVar(&o.latency, "latency", 20*time.Millisecond, "what is added to each request in the second half; 0: no second half")
	flag.BoolVar(&o.direct, "direct", true, "measure directly too")
	flag.BoolVar(&o.own, "own", false, "leave out rclone and s3fs")
	flag.Int64Var(&o.scale, "scale", 1, "divide the sizes by this")
	flag.StringVar(&o.sandbox, "sandbox", "", "the program sandbox; it is built")
	flag.StringVar(&o.dir, "dir", "", "where objects and caches go; a temporary directory")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/cold:", err)
		os.Exit(1)
	}
}

type options struct {
	only        string
	latency     time.Duration
	direct, own bool
	scale       int64
	sandbox     string
	dir         string
}

// runner is what the measurements share.
type runner struct {
	options
	dir    string
	server *scaffold.Server
	line   *delayline.Line
	delay  time.Duration
	raw    *rawclient.Client
	rclone string // peers; empty: left out
	s3fs   string
	seq    int
}

const bucket = "bench"

// prefix is of all keys: where the cold path of user u is.
const prefix = "users/u/cold/"

func run(o options) (err error) {
	if err := ownMounts(); err != nil {
		return err
	}
	base, err := os.MkdirTemp(o.dir, "bench-cold-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	l := &runner{options: o, dir: base}
	sandbox := o.sandbox
	if sandbox == "" {
		sandbox = filepath.Join(base, "sandbox")
		if err := scaffold.Build(sandbox, "./cmd/sandbox"); err != nil {
			return err
		}
	}
	if err := l.findPeers(); err != nil {
		return err
	}
	if l.server, err = scaffold.StartServer(context.Background(), sandbox, filepath.Join(base, "s3"), bucket); err != nil {
		return err
	}
	defer l.server.Stop()
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	var latencies []time.Duration
	if o.direct {
		latencies = append(latencies, 0)
	}
	if o.latency > 0 {
		latencies = append(latencies, o.latency)
	}
	for _, w := range chosen {
		if w.fill != nil {
			if err := l.at(0, func() error { return w.fill(l) }); err != nil {
				return fmt.Errorf("cannot fill the bucket for %s: %w", w.name, err)
			}
		}
		for _, delay := range latencies {
			if err := l.at(delay, func() error { return l.measure(w) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func choose(only string) ([]workload, error) {
	if only == "" {
		return workloads, nil
	}
	var chosen []workload
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: there is no such workload", name)
		}
		chosen = append(chosen, workloads[i])
	}
	return chosen, nil
}

// at runs f with a latency between all clients and the server.
func (l *runner) at(delay time.Duration, f func() error) error {
	line, err := delayline.New(l.server.Address, delay)
	if err != nil {
		return err
	}
	defer line.Close()
	l.line, l.delay = line, delay
	l.raw = rawclient.New(rawclient.Options{
		Endpoint: l.endpoint(), Bucket: bucket, Region: l.server.Region,
		AccessKey: l.server.AccessKey, SecretKey: l.server.SecretKey,
	})
	defer l.raw.Close()
	return f()
}

func (l *runner) endpoint() string { return "http://" + l.line.Address() }

// fresh makes an unused directory.
func (l *runner) fresh(name string) string {
	l.seq++
	return filepath.Join(l.dir, fmt.Sprintf("%s-%d", name, l.seq))
}
