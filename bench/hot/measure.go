package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/matrx/sandbox/bench/scaffold"
)

// cost is what a peer took.
type cost struct {
	name     string
	wall     time.Duration
	cpu      time.Duration
	rss      int64 // KiB
	requests int64
	err      error
}

// measure runs a command and takes its resources. One that fails is shown as such: a peer
// that cannot is a result, too.
func (l *runner) measure(name string, args ...string) cost {
	home := filepath.Join(l.dir, "peer-home")
	_ = os.MkdirAll(home, 0o700)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = l.server.Env(home)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	before := l.line.Requests()
	start := time.Now()
	err := cmd.Run()
	c := cost{name: name, wall: time.Since(start), requests: l.line.Requests() - before, err: err}
	if s := cmd.ProcessState; s != nil {
		c.cpu = s.UserTime() + s.SystemTime()
		if r, ok := s.SysUsage().(*syscall.Rusage); ok {
			c.rss = r.Maxrss
		}
	}
	if err != nil {
		c.err = fmt.Errorf("%w: %s", err, scaffold.Tail(out.String()))
	}
	return c
}

// table prints what a job cost each peer. Ratios are to the row named base.
type table struct {
	title string
	base  string
	rows  []cost
}

func (t *table) add(c cost) { t.rows = append(t.rows, c) }

func (t *table) print() {
	fmt.Printf("\n%s\n", t.title)
	var base time.Duration
	for _, r := range t.rows {
		if r.name == t.base {
			base = r.wall
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\twall s\tof %s\tCPU s\tRSS MB\trequests\t\n", t.base)
	for _, r := range t.rows {
		if r.err != nil {
			fmt.Fprintf(w, "%s\tfailed: %v\t\t\t\t\t\n", r.name, r.err)
			continue
		}
		fmt.Fprintf(w, "%s\t%.3f\t%.2f\t%.2f\t%d\t%d\t\n", r.name, r.wall.Seconds(), r.wall.Seconds()/base.Seconds(), r.cpu.Seconds(), r.rss>>10, r.requests)
	}
	w.Flush()
}
