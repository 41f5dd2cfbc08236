// Command select measures `sandbox select`, which platforms call before each task, beside programs
// that they call today for less: jq that reads the same catalog, and docker that asks its
// engine for its version. One of each in turn, in the same run; each figure is a median, and a
// ratio to the peer. The processor's time tells more than the clock's where a machine is shared.
//
//	go run ./bench/select [-runs 50] [-sandbox bin/sandbox]
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"text/tabwriter"
	"time"
)

// called is a program and what was measured of it.
type called struct {
	name string
	args []string
	wall []time.Duration
	cpu  []time.Duration
}

func main() {
	runs := flag.Int("runs", 50, "calls to measure")
	own := flag.String("sandbox", "bin/sandbox", "our program")
	flag.Parse()
	all := []*called{
		{name: "sandbox select", args: []string{*own, "select", "--task", "research", "--json"}},
		{name: "jq", args: []string{"jq", "[.images[] | select(.manifest.tasks | index(\"research\"))]", "catalog/family.json"}},
		{name: "docker version", args: []string{"docker", "version"}},
	}
	if err := measure(all, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tclock\tof ours\tprocessor\tof ours\t")
	ours := all[0]
	for _, c := range all {
		fmt.Fprintf(w, "%s\t%.1f ms\t%.2f\t%.1f ms\t%.2f\t\n", c.name, ms(median(c.wall)), ratio(c.wall, ours.wall), ms(median(c.cpu)), ratio(c.cpu, ours.cpu))
	}
	w.Flush()
}

// measure calls them in turn, so that what else the machine does falls on all alike.
func measure(all []*called, runs int) error {
	for range runs {
		for _, c := range all {
			cmd := exec.Command(c.args[0], c.args[1:]...)
			began := time.Now()
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("cannot run %q: %w; `make programs` builds ours, apt-get install jq and docker.io the others", c.args, err)
			}
			c.wall = append(c.wall, time.Since(began))
			c.cpu = append(c.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		}
	}
	return nil
}

func median(d []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(d))[len(d)/2]
}

func ratio(d, to []time.Duration) float64 { return float64(median(d)) / float64(median(to)) }

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
