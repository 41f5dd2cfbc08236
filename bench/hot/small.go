package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func (l *runner) small() error {
	return l.trees("10,000 files of 4 KiB in 520 directories", "small", smallTree)
}

func (l *runner) home() error {
	return l.trees("2,000 files of a home with a git repository, 77 MB", "home", homeTree)
}

// source is a tree that is made once.
func (l *runner) source(name string, build func(string) error) (string, error) {
	dir := filepath.Join(l.dir, "source", name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, build(dir)
}

// trees measures what a tree of many files costs to bring up and down.
func (l *runner) trees(title, name string, build func(string) error) error {
	src, err := l.source(name, build)
	if err != nil {
		return err
	}
	plain, own, err := l.uploads(title, src)
	if err != nil {
		return err
	}
	if err := l.downloads(title, src, plain, own); err != nil {
		return err
	}
	return l.flushes(title, src, own)
}

// uploads gives a bucket with plain objects and one that our sync has written.
func (l *runner) uploads(title, src string) (plain, own string, err error) {
	t := &table{title: fmt.Sprintf("upload of %s, %s", title, l.where()), base: "raw client"}
	plain = l.newBucket()
	t.add(l.measure("raw client", l.rawPeer().up(src, plain)...))
	for _, p := range l.peers() {
		t.add(l.measure(p.name, p.up(src, l.newBucket())...))
	}
	own = l.newBucket()
	home := l.fresh()
	defer remove(home)
	if out, err := exec.Command("cp", "-a", src, home).CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("cp: %w\n%s", err, out)
	}
	s, err := l.begin(own, home)
	if err != nil {
		return "", "", err
	}
	flush := s.tell("ours, flush", "flush")
	t.add(s.end("ours"))
	t.add(flush)
	t.print()
	return plain, own, flush.err
}

func (l *runner) downloads(title, src, plain, own string) error {
	t := &table{title: fmt.Sprintf("download of %s, %s", title, l.where()), base: "raw client"}
	into := func(f func(dir string) cost) {
		dir := l.fresh()
		t.add(f(dir))
		remove(dir)
	}
	into(func(dir string) cost { return l.measure("cp -a", "cp", "-a", src, dir) })
	into(func(dir string) cost { return l.measure("raw client", l.rawPeer().down(dir, plain)...) })
	for _, p := range l.peers() {
		into(func(dir string) cost {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return cost{name: p.name, err: err}
			}
			return l.measure(p.name, p.down(dir, plain)...)
		})
	}
	into(func(dir string) cost { return l.hydrate("ours, plain objects", plain, dir) })
	var kept cost
	into(func(dir string) cost {
		kept = l.hydrate("ours, with the bundle", own, dir)
		return kept
	})
	t.print()
	return kept.err
}

// flushes measures a stop after little or nothing was changed.
func (l *runner) flushes(title, src, own string) error {
	t := &table{title: fmt.Sprintf("10 files changed of %s, %s", title, l.where()), base: "ours"}
	home := l.fresh()
	defer remove(home)
	s, err := l.begin(own, home)
	if err != nil {
		return err
	}
	t.add(s.tell("ours, nothing changed", "flush"))
	if c := s.end(""); c.err != nil {
		return c.err
	}
	if s, err = l.begin(own, home); err != nil {
		return err
	}
	if err := changeTen(home, 1); err != nil {
		return err
	}
	t.add(s.tell("ours", "flush"))
	if c := s.end(""); c.err != nil {
		return c.err
	}
	for i, p := range l.peers() {
		bucket := l.newBucket()
		if c := l.measure("", l.rawPeer().up(src, bucket)...); c.err != nil {
			return c.err
		}
		// The peer itself brings both sides to a state that it takes for equal.
		if c := l.measure("", p.up(home, bucket)...); c.err != nil {
			t.add(c)
			continue
		}
		if err := changeTen(home, 2+i); err != nil {
			return err
		}
		t.add(l.measure(p.name, p.up(home, bucket)...))
	}
	t.print()
	return nil
}

// changeTen changes ten files of a tree, spread over it.
func changeTen(dir string, round int) error {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Base(filepath.Dir(path)) != ".git" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for k := range 10 {
		path := files[k*len(files)/10]
		if err := os.WriteFile(path, content(1000*round+k, 5000), 0o644); err != nil {
			return err
		}
	}
	return nil
}
