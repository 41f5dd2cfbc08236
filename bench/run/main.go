// Command run measures `sandbox run` beside `docker run` of the same image, in the same run: the time from
// the call of the program to the first byte of the command's output, as the operator sees it. Each figure is
// a median, and the difference is that of pairs, so that what else the machine does falls on both alike.
// The daemon runs, as it does beside other sandboxes; the home is empty. It then prints where the time of
// `sandbox run` goes.
//
//	go run ./bench/run [-runs 30] [-sandbox bin/sandbox] [-image matrx-sandbox:latest]
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	runs := flag.Int("runs", 30, "starts of each to measure")
	own := flag.String("sandbox", "bin/sandbox", "our program")
	image := flag.String("image", "matrx-sandbox:latest", "the image that both run")
	flag.Parse()
	if err := bench(*runs, *own, *image); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// pair is one way to run the image by each of the two programs.
type pair struct {
	name       string
	ours, peer []string
}

func bench(runs int, own, image string) error {
	dir, err := os.MkdirTemp("", "bench-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if own, err = filepath.Abs(own); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if err := os.Setenv("SANDBOX_DATA_DIR", data); err != nil {
		return err
	}
	// Another sandbox has the daemon stay.
	beside, err := exec.Command(own, "run", "--image", image, "--user-id", "beside", "--detach", "--timeout", "none").Output()
	if err != nil {
		return fmt.Errorf("cannot run %s: %w; `make programs core` builds it", own, err)
	}
	defer func() { _ = exec.Command(own, "stop", "-q", string(beside[:len(beside)-1])).Run() }()
	command := []string{"echo", "x"}
	pairs := []pair{
		{"no network", append([]string{own, "run", "-q", "--image", image, "--user-id", "bench", "--"}, command...),
			append([]string{"docker", "run", "--rm", "--network", "none", "--entrypoint", command[0], image}, command[1:]...)},
		{"the engine's network", append([]string{own, "run", "-q", "--access", "full", "--image", image, "--user-id", "bench", "--"}, command...),
			append([]string{"docker", "run", "--rm", "--entrypoint", command[0], image}, command[1:]...)},
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tsandbox run\tdocker run\tof docker's\tmore\tto the end\tdocker's\t")
	for _, p := range pairs {
		m, err := measure(p, runs)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%.0f ms\t%.0f ms\t%.2f\t%.0f ms\t%.0f ms\t%.0f ms\t\n", p.name, ms(median(m.ours)), ms(median(m.peer)),
			float64(median(m.ours))/float64(median(m.peer)), ms(median(m.more)), ms(median(m.oursEnd)), ms(median(m.peerEnd)))
	}
	w.Flush()
	fmt.Println()
	return phases(runs, own, image, data)
}

// measured are the times of the pairs, to the first byte and to the end.
type measured struct{ ours, peer, more, oursEnd, peerEnd []time.Duration }

func measure(p pair, runs int) (m measured, err error) {
	for n := range runs + 1 {
		ours, oursEnd, err := firstByte(p.ours)
		if err != nil {
			return m, err
		}
		peer, peerEnd, err := firstByte(p.peer)
		if err != nil {
			return m, err
		}
		if n == 0 { // the first reads the image from the disk
			continue
		}
		m.ours, m.peer, m.more = append(m.ours, ours), append(m.peer, peer), append(m.more, ours-peer)
		m.oursEnd, m.peerEnd = append(m.oursEnd, oursEnd), append(m.peerEnd, peerEnd)
	}
	return m, nil
}

// firstByte runs a program and says when its output began, and when it ended.
func firstByte(args []string) (first, end time.Duration, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		return 0, 0, fmt.Errorf("%q has said nothing: %w", args, err)
	}
	first = time.Since(began)
	if _, err := io.Copy(io.Discard, out); err != nil {
		return 0, 0, err
	}
	if err := cmd.Wait(); err != nil {
		return 0, 0, fmt.Errorf("%q: %w", args, err)
	}
	return first, time.Since(began), nil
}

func median(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
