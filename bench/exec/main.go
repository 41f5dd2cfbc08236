// Command exec measures the exec server beside docker exec and docker cp, in the same run and on the same
// sandbox: what a command costs by the protocol, by `sandbox exec` and by `docker exec`, output, files, many at
// once, and what the server weighs at rest. Times are medians and 99th percentiles, each with its ratio to the engine's.
//
//	go run ./bench/exec [-runs 200] [-image matrx-sandbox-base:latest] [-program bin/sandbox]
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	var (
		runs    = flag.Int("runs", 200, "commands to measure by the protocol; a quarter of them by each program")
		image   = flag.String("image", "matrx-sandbox-base:latest", "the sandbox's image")
		program = flag.String("program", "bin/sandbox", "the host's program")
	)
	flag.Parse()
	if err := run(*runs, *image, *program); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is one figure: by the protocol, by our program and by docker. An empty one was not measured.
type row struct {
	figure             string
	proto, own, docker []time.Duration
}

func run(runs int, image, program string) error {
	dir, err := os.MkdirTemp("", "bench-exec-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	own, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	b, err := startBox(own, image, dir)
	if err != nil {
		return err
	}
	defer b.stop()
	var rows []row
	for _, measure := range []func(int) (row, error){b.commands, b.firstByte, b.output, b.fileIn, b.fileOut, b.atOnce} {
		r, err := measure(runs)
		if err != nil {
			return fmt.Errorf("%s: %w", r.figure, err)
		}
		rows = append(rows, r)
	}
	show(rows)
	return weigh(image)
}

func show(rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tprotocol p50\tp99\tsandbox p50\tp99\tdocker p50\tp99\tprotocol/docker\tsandbox/docker")
	for _, r := range rows {
		theirs := quantile(r.docker, 0.5)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.figure,
			ms(r.proto, 0.5), ms(r.proto, 0.99), ms(r.own, 0.5), ms(r.own, 0.99), ms(r.docker, 0.5), ms(r.docker, 0.99),
			ratio(quantile(r.proto, 0.5), theirs), ratio(quantile(r.own, 0.5), theirs))
	}
	w.Flush()
}

func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func ms(times []time.Duration, q float64) string {
	if len(times) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", float64(quantile(times, q))/1e6)
}

func ratio(ours, theirs time.Duration) string {
	if ours == 0 || theirs == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(ours)/float64(theirs))
}

// timed runs do so often, and gives how long each took.
func timed(runs int, do func() error) (times []time.Duration, err error) {
	for range runs {
		began := time.Now()
		if err := do(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}
