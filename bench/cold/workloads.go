package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/matrx/sandbox/bench/scaffold"
	"golang.org/x/sys/unix"
)

// workload is one thing that people do with a mount.
type workload struct {
	name  string
	text  func(scale int64) string
	steps []string
	fill  func(l *runner) error // puts what is read into the bucket
	raw   func(l *runner, r *result) error
	do    func(l *runner, dir string, r *result) error // in a mount
}

func (w workload) title(scale int64) string { return w.name + ": " + w.text(scale) }

const (
	mib       = 1 << 20
	files     = 10_000
	large     = 1 << 30
	smallOnes = 2_000
	smallSize = 4 << 10

	// randomFor is how long reads at random go on, if there are not randomMost before.
	randomFor  = 10 * time.Second
	inTurn     = 256 << 20
	grown      = 100 << 20
	appends    = 100
	randomMost = 2_000
)

var workloads = []workload{
	{
		name: "ls", text: func(s int64) string { return fmt.Sprintf("ls -l of %d files in one directory", files/s) }, steps: []string{"cold", "warm"},
		fill: func(l *runner) error { return l.fillTree("flat", files/l.scale, 0) },
		raw:  func(l *runner, r *result) error { return l.rawList("flat/", r) },
		do:   func(_ *runner, dir string, r *result) error { return r.twice("ls", "-l", filepath.Join(dir, "flat")) },
	},
	{
		name: "tree", text: func(s int64) string { return fmt.Sprintf("ls -lR of %d files in %d directories", files/s, 520/s) }, steps: []string{"cold", "warm"},
		fill: func(l *runner) error { return l.fillTree("tree", files/l.scale, 520/l.scale) },
		raw:  func(l *runner, r *result) error { return l.rawList("tree/", r) },
		do:   func(_ *runner, dir string, r *result) error { return r.twice("ls", "-lR", filepath.Join(dir, "tree")) },
	},
	{
		name: "sequential", text: func(s int64) string {
			return fmt.Sprintf("reading a file of %d MiB from its beginning to its end", large/s/mib)
		}, steps: []string{"cold", "warm"},
		fill: fillLarge,
		raw: func(l *runner, r *result) error {
			return r.step("cold", func() error { _, err := l.raw.Sequential(context.Background(), prefix+"large"); return err })
		},
		do: func(l *runner, dir string, r *result) error {
			read := func() error { return readAll(filepath.Join(dir, "large"), large/l.scale) }
			if err := r.step("cold", read); err != nil {
				return err
			}
			return r.step("warm", read)
		},
	},
	{
		name: "in-turn", text: func(s int64) string {
			return fmt.Sprintf("reading three files of %d MiB one after the other", inTurn/s/mib)
		}, steps: turns[:],
		fill: fillInTurn,
		raw: func(l *runner, r *result) error {
			return r.inTurn(func(i int) error {
				_, err := l.raw.Sequential(context.Background(), turnKey(i))
				return err
			})
		},
		do: func(l *runner, dir string, r *result) error {
			return r.inTurn(func(i int) error { return readAll(filepath.Join(dir, filepath.Base(turnKey(i))), inTurn/l.scale) })
		},
	},
	{
		name: "random", text: func(s int64) string {
			return fmt.Sprintf("reading 4 KiB at random places of a file of %d MiB", large/s/mib)
		}, steps: []string{"cold"},
		fill: fillLarge,
		raw:  rawRandom, do: random,
	},
	{
		name: "small", text: func(s int64) string { return fmt.Sprintf("reading %d files of 4 KiB one after the other", smallOnes/s) }, steps: []string{"cold", "warm"},
		fill: func(l *runner) error { return l.fillTree("small", smallOnes/l.scale, 0) },
		raw:  rawSmall,
		do: func(l *runner, dir string, r *result) error {
			return r.twice("sh", "-c", `cat "$0"/small/* > /dev/null`, dir)
		},
	},
	{
		name: "large-in", text: func(s int64) string { return fmt.Sprintf("copying a file of %d MiB in", large/s/mib) }, steps: []string{"cp", "in S3"},
		raw: func(l *runner, r *result) error {
			from, err := l.source(1, large/l.scale)
			if err != nil {
				return err
			}
			return r.step("in S3", func() error {
				_, err := l.raw.UploadFile(context.Background(), filepath.Join(from, "f0"), prefix+"raw-in")
				return err
			})
		},
		do: func(l *runner, dir string, r *result) error { return l.copyIn(dir, 1, large/l.scale, r) },
	},
	{
		name: "small-in", text: func(s int64) string { return fmt.Sprintf("copying %d files of 4 KiB in", smallOnes/s) }, steps: []string{"cp", "in S3"},
		raw: func(l *runner, r *result) error {
			from, err := l.source(int(smallOnes/l.scale), smallSize)
			if err != nil {
				return err
			}
			return r.step("in S3", func() error {
				_, err := l.raw.Upload(context.Background(), from, prefix+l.name("raw-in")+"/")
				return err
			})
		},
		do: func(l *runner, dir string, r *result) error {
			return l.copyIn(dir, int(smallOnes/l.scale), smallSize, r)
		},
	},
	{
		name: "appends", text: func(s int64) string {
			return fmt.Sprintf("appending 1 KiB to a file of %d MiB, %d times, each second", grown/s/mib, appends/s)
		}, steps: []string{"in S3"},
		raw: func(l *runner, r *result) error {
			from, err := l.source(1, grown/l.scale)
			if err != nil {
				return err
			}
			return r.step("in S3", func() error {
				_, err := l.raw.UploadFile(context.Background(), filepath.Join(from, "f0"), prefix+"raw-grown")
				return err
			})
		},
		do: func(l *runner, dir string, r *result) error { return l.grow(dir, r) },
	},
}

func (l *runner) measure(w workload) error {
	raw, err := l.rawResult(w)
	if err != nil {
		return fmt.Errorf("the raw client: %w", err)
	}
	results := []*result{raw}
	for _, p := range l.peers() {
		r := newResult(p.name)
		results = append(results, r)
		m, err := l.mount(p)
		if err != nil {
			r.err = err
			continue
		}
		before := l.line.Sent()
		err = w.do(l, m.dir, r)
		if r.sent == 0 {
			r.sent = l.line.Sent() - before
		}
		if err != nil {
			r.err = fmt.Errorf("%w: %s", err, scaffold.Tail(m.out.String()))
		}
		r.peak, _ = m.rss()
		m.unmount()
	}
	l.print(w, results)
	return nil
}

// rawResult is the raw client's. What it reads is in the server's caches afterwards, so it goes twice
// and the better counts: the peers find them full as well.
func (l *runner) rawResult(w workload) (*result, error) {
	first := newResult("raw client")
	before := l.line.Sent()
	err := w.raw(l, first)
	first.sent = l.line.Sent() - before
	if err != nil || w.fill == nil {
		return first, err
	}
	again := newResult("raw client")
	again.sent = first.sent
	if err := w.raw(l, again); err != nil {
		return nil, err
	}
	if again.took["cold"] < first.took["cold"] {
		return again, nil
	}
	return first, nil
}

// step measures something.
func (r *result) step(name string, f func() error) error {
	start := time.Now()
	err := f()
	r.took[name] = time.Since(start)
	return err
}

// turns are the steps of reading one file after the other.
var turns = [...]string{"1st", "2nd", "3rd"}

func turnKey(i int) string { return fmt.Sprintf("%sturn-%d", prefix, i) }

func (r *result) inTurn(read func(i int) error) error {
	for i, name := range turns {
		if err := r.step(name, func() error { return read(i) }); err != nil {
			return err
		}
	}
	return nil
}

// twice runs a command cold and warm.
func (r *result) twice(args ...string) error {
	for _, step := range []string{"cold", "warm"} {
		if err := r.step(step, func() error {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
			return cmd.Run()
		}); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
	}
	return nil
}

func (l *runner) rawList(dir string, r *result) error {
	return r.step("cold", func() error {
		all, err := l.raw.List(context.Background(), prefix+dir)
		if err == nil && len(all) < int(files/l.scale) {
			err = fmt.Errorf("%d of %d keys", len(all), files/l.scale)
		}
		return err
	})
}

func rawSmall(l *runner, r *result) error {
	return r.step("cold", func() error {
		all, err := l.raw.List(context.Background(), prefix+"small/")
		for i := 0; err == nil && i < len(all); i++ {
			_, err = l.raw.Sequential(context.Background(), all[i].Key)
		}
		return err
	})
}

// readAll reads a file as cat does, which says that it reads on and on, and keeps nothing of it.
func readAll(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL); err != nil {
		return err
	}
	buf := make([]byte, 128<<10)
	got := int64(0)
	for {
		n, err := f.Read(buf)
		got += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if got != size {
		return fmt.Errorf("%d of %d bytes", got, size)
	}
	return nil
}

func rawRandom(l *runner, r *result) error {
	n := 200
	r.count["cold"] = n
	return r.step("cold", func() error {
		_, err := l.raw.Random(context.Background(), prefix+"large", large/l.scale, n, smallSize)
		return err
	})
}

func random(l *runner, dir string, r *result) error {
	f, err := os.Open(filepath.Join(dir, "large"))
	if err != nil {
		return err
	}
	defer f.Close()
	// The kernel would read around each place; a program that means it says so, and so do
	// databases.
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	buf := make([]byte, smallSize)
	return r.step("cold", func() error {
		for start := time.Now(); r.count["cold"] < randomMost && time.Since(start) < randomFor; r.count["cold"]++ {
			if _, err := f.ReadAt(buf, rnd.Int64N(large/l.scale/smallSize)*smallSize); err != nil {
				return err
			}
		}
		return nil
	})
}

// name gives an unused name in the bucket.
func (l *runner) name(what string) string {
	l.seq++
	return fmt.Sprintf("%s-%d", what, l.seq)
}

// copyIn copies files in with cp, and waits until they are listed.
func (l *runner) copyIn(dir string, n int, size int64, r *result) error {
	from, err := l.source(n, size)
	if err != nil {
		return err
	}
	to := l.name("in")
	start := time.Now()
	if out, err := exec.Command("cp", "-r", from, filepath.Join(dir, to)).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, scaffold.Tail(string(out)))
	}
	r.took["cp"] = time.Since(start)
	for {
		all, err := l.raw.List(context.Background(), prefix+to+"/f")
		if err != nil {
			return err
		}
		whole := 0
		for _, e := range all {
			if e.Size == size {
				whole++
			}
		}
		if whole == n {
			break
		}
		if time.Since(start) > 10*time.Minute {
			return errors.New("it is not in S3 after ten minutes")
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.took["in S3"] = time.Since(start)
	return nil
}
