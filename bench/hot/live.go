package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/matrx/sandbox/internal/storage/hot"
)

const (
	// loadRate is how many files a second are written, loadTime how long.
	loadRate, loadTime = 100, 30 * time.Second

	sampleEvery = 20 * time.Millisecond

	// idleFiles and idleTime: a scan of the tree, which comes each minute, lies in it.
	idleFiles, idleTime = 100_000, 70 * time.Second
)

// live measures a sandbox that runs: how far S3 is behind a workload that writes all the
// time, and what a large home costs in which nothing happens.
func (l *runner) live() error {
	if err := l.underLoad(); err != nil || l.line.Delay() > 0 {
		return err
	}
	return l.idle()
}

func (l *runner) underLoad() error {
	src, err := l.source("small", smallTree)
	if err != nil {
		return err
	}
	home := l.fresh()
	defer remove(home)
	if c := l.measure("cp", "cp", "-a", src, home); c.err != nil {
		return c.err
	}
	s, err := l.begin(l.newBucket(), home)
	if err != nil {
		return err
	}
	if c := s.tell("", "checkpoint"); c.err != nil {
		return c.err
	}
	if _, err := fmt.Fprintln(s.in, "sample"); err != nil {
		return err
	}
	tick := time.NewTicker(time.Second / loadRate)
	defer tick.Stop()
	began := time.Now()
	written := 0
	for time.Since(began) < loadTime {
		<-tick.C
		// Half are new, half are written again.
		path := filepath.Join(home, smallPath(written*37%smallFiles))
		if written%2 == 0 {
			path = filepath.Join(home, fmt.Sprintf("new/d%d/f%d", written%17, written))
		}
		if err := writeFile(path, content(written, smallSize)); err != nil {
			return err
		}
		written++
	}
	p99, err := s.ask("samples")
	if err != nil {
		return err
	}
	fmt.Printf("\n%d files of 4 KiB written in %v, %s: staleness p99 %.2f s of %d samples, %d uploads; a change is left alone for 0.5 s first\n",
		written, loadTime, l.where(), p99.Seconds, p99.Files, p99.Bytes)
	return s.end("").err
}

func (l *runner) idle() error {
	home := l.fresh()
	defer remove(home)
	for i := range idleFiles {
		if err := writeFile(filepath.Join(home, fmt.Sprintf("p%02d/q%02d/f%d", i/10_000, i/250%40, i)), []byte(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	s, err := l.begin(l.newBucket(), home)
	if err != nil {
		return err
	}
	if c := s.tell("", "checkpoint"); c.err != nil {
		return c.err
	}
	// Files that were uploaded right after they were written are compared once more: that is
	// not idle yet.
	time.Sleep(10 * time.Second)
	before, err := s.ask("cpu")
	if err != nil {
		return err
	}
	time.Sleep(idleTime)
	after, err := s.ask("cpu")
	if err != nil {
		return err
	}
	fmt.Printf("\n%d files, nothing happens for %v, %s: %.3f s of CPU (%.2f %% of one), one scan of the tree included; %d MB RSS at most\n",
		after.Files, idleTime, l.where(), after.CPU-before.CPU, 100*(after.CPU-before.CPU)/idleTime.Seconds(), s.rss()>>10)
	return s.end("").err
}

// staleness is what status says of it, sampled.
type staleness struct {
	seen []time.Duration
	stop chan struct{}
	done chan struct{}
}

func beginSampling(e *hot.Syncer) *staleness {
	s := &staleness{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
				s.seen = append(s.seen, e.Status().Staleness)
			}
		}
	}()
	return s
}

// end gives the 99th percentile.
func (s *staleness) end() time.Duration {
	close(s.stop)
	<-s.done
	slices.Sort(s.seen)
	if len(s.seen) == 0 {
		return 0
	}
	return s.seen[len(s.seen)*99/100]
}
