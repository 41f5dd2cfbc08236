package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/matrx/sandbox/internal/host/sandbox/run"
)

// phases prints the steps of a start, from inside: what the program does until the engine has started the
// container, and what sandbox-init does from there to the command's first word.
func phases(runs int, own, image, data string) error {
	var names []string
	took := make(map[string][]time.Duration)
	add := func(s run.Step) {
		if took[s.Name] == nil {
			names = append(names, s.Name)
		}
		took[s.Name] = append(took[s.Name], s.Took)
	}
	for range runs {
		var begun, said time.Time
		started := time.Now()
		o := run.Options{DataDir: data, UserID: "bench", Image: image, Command: []string{"echo", "x"}, LogLevel: "warn", Daemon: []string{own, "hostd"},
			Store: run.Store{Prefix: run.DefaultPrefix},
			Trace: func(s run.Step) {
				add(s)
				begun = time.Now()
			}}
		first := &firstWrite{at: func() { said = time.Now() }}
		_, err := run.Run(context.Background(), o, run.Streams{In: os.Stdin, Out: first, Err: os.Stderr}, run.Output{Out: os.Stderr, Err: new(bytes.Buffer), Quiet: true})
		if err != nil {
			return err
		}
		add(run.Step{Name: "sandbox-init: boot, hydrate, ready, the command's first byte", Took: said.Sub(begun)})
		add(run.Step{Name: "in all", Took: said.Sub(started)})
		began := time.Now()
		if err := exec.Command(own, "run", "--help").Run(); err != nil {
			return err
		}
		add(run.Step{Name: "besides: the program's own start (`run --help`)", Took: time.Since(began)})
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	for _, name := range names {
		fmt.Fprintf(w, "%s\t%.1f ms\n", name, ms(median(took[name])))
	}
	return w.Flush()
}

// firstWrite tells of the first write.
type firstWrite struct {
	once sync.Once
	at   func()
}

func (f *firstWrite) Write(b []byte) (int, error) {
	f.once.Do(f.at)
	return len(b), nil
}
