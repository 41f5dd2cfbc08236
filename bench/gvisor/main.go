// Command gvisor shows what the base image promises under gVisor's runsc, and what that costs beside
// runc in the same run. It starts an engine of its own, with data, a socket and a bridge of its own, and
// removes all of it; the engine that is there is asked for the image alone.
//
//	go run ./bench/gvisor [-runs 20] [-runsc .cache/bin/runsc] [-image matrx-sandbox-base:latest] >docs/gvisor.md
//
// It needs root, dockerd, ip, and the programs of `make programs suite`.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// options are the command line.
type options struct {
	runs       int
	runsc      string
	image      string
	conformity string // the suite's program
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 20, "measurements of each figure")
	flag.StringVar(&o.runsc, "runsc", ".cache/bin/runsc", "gVisor's runsc")
	flag.StringVar(&o.image, "image", "matrx-sandbox-base:latest", "image to run; the usual engine must have it")
	flag.StringVar(&o.conformity, "suite", "bin/sandbox-conformance", "program of the conformance suite")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "gvisor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	for _, path := range []*string{&o.runsc, &o.conformity} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
		if _, err := os.Stat(*path); err != nil {
			return fmt.Errorf("%w; `make gvisor` makes it", err)
		}
	}
	dir, err := os.MkdirTemp("", "gvisor-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	reports := map[string]report{}
	var costs []sample
	for n, runtime := range runtimes {
		e, err := startEngine(ctx, dir, o.runsc, runtime)
		if err != nil {
			return err
		}
		err = e.load(ctx, o.image)
		if err == nil && n == 0 {
			fmt.Fprintln(os.Stderr, "gvisor: the cost")
			costs, err = measure(ctx, e, o)
		}
		if err == nil {
			fmt.Fprintf(os.Stderr, "gvisor: the suite under %s\n", runtime)
			reports[runtime], err = judge(ctx, e, o)
		}
		if err := errors.Join(err, e.stop()); err != nil {
			return fmt.Errorf("under %s: %w", runtime, err)
		}
	}
	out := bufio.NewWriter(os.Stdout)
	version, err := exec.CommandContext(ctx, o.runsc, "--version").Output()
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(version), "\n")
	write(out, strings.TrimPrefix(first, "runsc version "), o.runs, reports, costs)
	return out.Flush()
}

// copyTail writes what a failed program said last.
func copyTail(w io.Writer, path string) {
	b, err := os.ReadFile(path)
	if err == nil {
		_, _ = w.Write(b[max(0, len(b)-2000):])
	}
}
