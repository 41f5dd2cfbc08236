package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// report is the part of the suite's report that the table shows.
type report struct {
	Verdict string   `json:"verdict"`
	Results []result `json:"results"`
}

type result struct {
	ID     string `json:"id"`
	Level  string `json:"level"`
	Text   string `json:"text"`
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// judge runs the suite on the image. An image that does not conform is a finding, not an error.
func judge(ctx context.Context, e *engine, o options) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	cmd := e.command(ctx, o.conformity, o.image, "--json", "--parallel", "2")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		return report{}, err
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("the suite gave no report: %w: %s", err, said.String())
	}
	return r, nil
}

// figure is one thing that is timed: a command in a container, its start with it.
type figure struct {
	name    string
	command string
	whole   bool // the whole of docker run counts; else what the command says of itself, in seconds
}

// timed has the shell's own clock say how long a script took, without the container's start.
func timed(script string) string {
	return `begin=$EPOCHREALTIME; ` + script + `; end=$EPOCHREALTIME; echo $(( ${end/./} - ${begin/./} ))`
}

var figures = []figure{
	{"docker run of `true`", `true`, true},
	{"100 processes started", timed(`for i in {1..100}; do /bin/true; done`), false},
	{"100,000 system calls", timed(`dd if=/dev/zero of=/dev/null bs=1 count=50000 status=none`), false},
	{"2,000 files made and removed", timed(`mkdir d; for i in {1..2000}; do echo x >d/$i; done; rm -r d`), false},
	{"256 MiB written and read", timed(`head -c 256M /dev/zero >f; cat f >/dev/null; rm f`), false},
	{"256 MiB hashed", timed(`head -c 256M /dev/zero | sha256sum >/dev/null`), false},
}

// sample is a figure's median under each runtime.
type sample struct {
	figure figure
	median map[string]time.Duration
}

// measure runs the runtimes in turn, so that what else the machine does meets them alike.
func measure(ctx context.Context, e *engine, o options) ([]sample, error) {
	var out []sample
	for _, f := range figures {
		took := map[string][]time.Duration{}
		for range o.runs {
			for _, runtime := range runtimes {
				d, err := f.once(ctx, e, runtime, o.image)
				if err != nil {
					return nil, fmt.Errorf("%s under %s: %w", f.name, runtime, err)
				}
				took[runtime] = append(took[runtime], d)
			}
		}
		s := sample{f, map[string]time.Duration{}}
		for runtime, all := range took {
			slices.Sort(all)
			s.median[runtime] = all[len(all)/2]
		}
		out = append(out, s)
	}
	return out, nil
}

// once runs a figure's command in a container of its own.
func (f figure) once(ctx context.Context, e *engine, runtime, image string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	begin := time.Now()
	said, err := e.docker(ctx, "run", "--rm", "--runtime", runtime, "--network", "none", "--log-driver", "none", image, "bash", "-c", f.command).Output()
	whole := time.Since(begin)
	if err != nil || f.whole {
		return whole, err
	}
	var micros int64
	if _, err := fmt.Sscan(string(said), &micros); err != nil {
		return 0, fmt.Errorf("it said %q: %w", said, err)
	}
	return time.Duration(micros) * time.Microsecond, nil
}
