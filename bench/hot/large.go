package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// large measures one file of 1 GiB, and the renaming of the directory that it is in.
func (l *runner) large() error {
	src, err := l.source("large", largeTree)
	if err != nil {
		return err
	}
	raw := func(bucket string, a ...string) []string {
		return append([]string{l.raw, "-endpoint", l.endpoint(), "-bucket", bucket, "-region", l.server.Region}, a...)
	}
	file, key := filepath.Join(src, "videos", "large"), prefix+"/videos/large"
	plain, own := l.newBucket(), l.newBucket()
	up := &table{title: "upload of 1 GiB, " + l.where(), base: "raw client"}
	up.add(l.measure("raw client", raw(plain, "put", file, key)...))
	for _, p := range l.peers() {
		up.add(l.measure(p.name, p.up(src, l.newBucket())...))
	}
	home := l.fresh()
	defer remove(home)
	if out := l.measure("cp", "cp", "-a", src, home); out.err != nil {
		return out.err
	}
	s, err := l.begin(own, home)
	if err != nil {
		return err
	}
	up.add(s.tell("ours, flush", "flush"))
	up.print()

	move := &table{title: "the directory of 1 GiB renamed, " + l.where(), base: "ours"}
	if c := s.end(""); c.err != nil {
		return c.err
	}
	if s, err = l.begin(own, home); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(home, "videos"), filepath.Join(home, "films")); err != nil {
		return err
	}
	move.add(s.tell("ours", "flush"))
	if c := s.end(""); c.err != nil {
		return c.err
	}
	move.print()

	down := &table{title: "download of 1 GiB, " + l.where(), base: "raw client"}
	into := func(f func(dir string) cost) {
		dir := l.fresh()
		down.add(f(dir))
		remove(dir)
	}
	into(func(dir string) cost { return l.measure("cp -a", "cp", "-a", src, dir) })
	into(func(dir string) cost {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return cost{name: "raw client", err: err}
		}
		return l.measure("raw client", raw(plain, "get", key, filepath.Join(dir, "large"), strconv.Itoa(largeSize))...)
	})
	for _, p := range l.peers() {
		into(func(dir string) cost {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return cost{name: p.name, err: err}
			}
			return l.measure(p.name, p.down(dir, plain)...)
		})
	}
	into(func(dir string) cost { return l.hydrate("ours", own, dir) })
	down.print()
	for _, c := range append(up.rows, down.rows...) {
		if c.err != nil && c.name == "ours" {
			return fmt.Errorf("ours: %w", c.err)
		}
	}
	return nil
}
