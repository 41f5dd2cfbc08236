// Command pid1 measures sandbox-init as an init beside Debian's tini, in the same run:
// what starting a command costs, what it weighs while the command runs, how long it takes
// to reap many orphans that end at once, and its size. Each figure is a median, and a ratio.
//
//	go run ./bench/pid1 [-runs 60] [-orphans 10000] [-init bin/sandbox-init] [-peer tini]
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// peer is an init and how to run a command under it.
type peer struct {
	name string
	path string
	args []string // before the command
	env  []string
}

func main() {
	var (
		runs    = flag.Int("runs", 60, "starts to measure")
		orphans = flag.Int("orphans", 10000, "orphans that end at once")
		own     = flag.String("init", "bin/sandbox-init", "our init")
		other   = flag.String("peer", "tini", "the peer: tini's path or name")
	)
	flag.Parse()
	if err := run(*runs, *orphans, *own, *other); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(runs, orphans int, own, other string) error {
	dir, err := os.MkdirTemp("", "bench-pid1-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, err := filepath.Abs(own)
	if err != nil {
		return err
	}
	if _, err := os.Stat(ours); err != nil {
		return fmt.Errorf("%w; run make programs", err)
	}
	theirs, err := exec.LookPath(other)
	if err != nil {
		return fmt.Errorf("%w; apt-get install tini", err)
	}
	a := peer{"sandbox-init", ours, []string{"--"}, []string{
		"SANDBOX_STATE_DIR=" + dir + "/state", "SANDBOX_RUN_DIR=" + dir + "/run", "SANDBOX_READY_FILE=" + dir + "/ready",
		"HOT_PATH=" + dir + "/home", "COLD_PATH=" + dir + "/cold",
	}}
	for _, d := range []string{"home", "cold"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	b := peer{"tini", theirs, []string{"-s", "--"}, nil}

	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "figure\t%s\t%s\tratio\n", a.name, b.name)
	for _, row := range []struct {
		figure  string
		unit    string
		measure func() (ours, theirs float64, err error)
	}{
		{"start of `-- true`", "ms", func() (float64, float64, error) { return starts(runs, a, b) }},
		{"RSS beside sleep", "MB", func() (float64, float64, error) { return both(a, b, rss) }},
		{fmt.Sprintf("reaping %d orphans", orphans), "ms", func() (float64, float64, error) {
			return both(a, b, func(p peer) (float64, error) { return reap(p, orphans, dir) })
		}},
		{"size", "MB", func() (float64, float64, error) { return both(a, b, size) }},
	} {
		x, y, err := row.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", row.figure, err)
		}
		fmt.Fprintf(out, "%s\t%.2f %s\t%.2f %s\t%.2f\n", row.figure, x, row.unit, y, row.unit, x/y)
	}
	return out.Flush()
}

func both(a, b peer, measure func(peer) (float64, error)) (x, y float64, err error) {
	if x, err = measure(a); err != nil {
		return 0, 0, err
	}
	y, err = measure(b)
	return x, y, err
}

func (p peer) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(p.path, append(slices.Clone(p.args), argv...)...)
	cmd.Env = append(os.Environ(), p.env...)
	return cmd
}

// starts runs true under both in turn, so that a drifting machine drifts for both.
func starts(runs int, a, b peer) (x, y float64, err error) {
	var as, bs []float64
	for i := range runs + 2 { // the first two warm the caches
		for _, p := range []struct {
			peer
			to *[]float64
		}{{a, &as}, {b, &bs}} {
			began := time.Now()
			if err := p.command("true").Run(); err != nil {
				return 0, 0, fmt.Errorf("%s -- true: %w", p.name, err)
			}
			if i >= 2 {
				*p.to = append(*p.to, float64(time.Since(began).Microseconds())/1000)
			}
		}
	}
	return median(as), median(bs), nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func size(p peer) (float64, error) {
	info, err := os.Stat(p.path)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / 1e6, nil
}
