package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

// result is what a peer took for the steps of a workload.
type result struct {
	name  string
	took  map[string]time.Duration
	count map[string]int // of a step that does as much as it can in its time
	peak  int64          // MiB
	sent  int64          // bytes, with those of the requests themselves
	err   error
}

func newResult(name string) *result {
	return &result{name: name, took: map[string]time.Duration{}, count: map[string]int{}}
}

// each is how long one of a step's operations took.
func (r *result) each(step string) time.Duration {
	return r.took[step] / time.Duration(max(1, r.count[step]))
}

// print prints a workload's results. The first is the raw client's, to which the ratios are.
func (l *runner) print(w workload, results []*result) {
	where := "directly"
	if l.delay > 0 {
		where = fmt.Sprintf("with %v added to each request", l.delay)
	}
	fmt.Printf("\n%s, %s\n", w.title(l.scale), where)
	t := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', tabwriter.AlignRight)
	for _, s := range w.steps {
		fmt.Fprintf(t, "\t%s\tof raw", s)
	}
	fmt.Fprintln(t, "\tsent MiB\tRSS MiB\t")
	raw := results[0]
	for _, r := range results {
		fmt.Fprint(t, r.name)
		if r.err != nil {
			fmt.Fprintf(t, "\tfailed: %v\t\n", r.err)
			continue
		}
		for _, s := range w.steps {
			switch {
			case r.took[s] == 0:
				fmt.Fprint(t, "\t-\t-")
			case r.count[s] > 0:
				fmt.Fprintf(t, "\t%.0f/s\t%.2f", 1/r.each(s).Seconds(), ratio(r, raw, s))
			default:
				fmt.Fprintf(t, "\t%.3f s\t%.2f", r.took[s].Seconds(), ratio(r, raw, s))
			}
		}
		if r == raw {
			fmt.Fprintf(t, "\t%.1f\t-\t\n", float64(r.sent)/mib)
		} else {
			fmt.Fprintf(t, "\t%.1f\t%d\t\n", float64(r.sent)/mib, r.peak)
		}
	}
	t.Flush()
}

// ratio is by how much a step took longer than the raw client's one. A step that the raw client
// has not (it keeps nothing warm) is compared with its first.
func ratio(r, raw *result, step string) float64 {
	if raw.took[step] == 0 {
		step0 := step
		for s := range raw.took {
			step0 = s
		}
		return r.each(step).Seconds() / raw.each(step0).Seconds()
	}
	return r.each(step).Seconds() / raw.each(step).Seconds()
}
