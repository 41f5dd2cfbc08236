package main

import (
	"os"
	"path/filepath"
)

const prefix = "users/u/hot"

// peer is a program that copies a tree to S3 and back.
type peer struct {
	name     string
	up, down func(dir, bucket string) []string
}

// peers are those that are installed.
func (l *runner) peers() []peer {
	var ps []peer
	if l.aws != "" {
		sync := func(from, to string) []string {
			return []string{l.aws, "--endpoint-url", l.endpoint(), "s3", "sync", "--only-show-errors", from, to}
		}
		ps = append(ps, peer{"aws s3 sync",
			func(dir, b string) []string { return sync(dir, "s3://"+b+"/"+prefix) },
			func(dir, b string) []string { return sync("s3://"+b+"/"+prefix, dir) }})
	}
	if l.rclone != "" {
		sync := func(from, to string) []string {
			return []string{l.rclone, "sync", "-q", "--config", "/dev/null", "--transfers", "64", "--checkers", "64", "--fast-list",
				"--s3-provider", "Other", "--s3-endpoint", l.endpoint(), "--s3-env-auth", "--s3-force-path-style", "--s3-no-check-bucket", from, to}
		}
		ps = append(ps, peer{"rclone",
			func(dir, b string) []string { return sync(dir, ":s3:"+b+"/"+prefix) },
			func(dir, b string) []string { return sync(":s3:"+b+"/"+prefix, dir) }})
	}
	if l.s5cmd != "" {
		sync := func(from, to string) []string {
			return []string{l.s5cmd, "--endpoint-url", l.endpoint(), "--log", "error", "sync", from, to}
		}
		ps = append(ps, peer{"s5cmd",
			func(dir, b string) []string { return sync(dir+"/", "s3://"+b+"/"+prefix+"/") },
			func(dir, b string) []string { return sync("s3://"+b+"/"+prefix+"/*", dir+"/") }})
	}
	return ps
}

// rawPeer is the yardstick.
func (l *runner) rawPeer() peer {
	args := func(bucket string, a ...string) []string {
		return append([]string{l.raw, "-endpoint", l.endpoint(), "-bucket", bucket, "-region", l.server.Region}, a...)
	}
	return peer{"raw client",
		func(dir, b string) []string { return args(b, "up", dir, prefix+"/") },
		func(dir, b string) []string { return args(b, "down", prefix+"/", dir) }}
}

// fresh is a directory that does not exist yet, for one measurement.
func (l *runner) fresh() string {
	dir, err := os.MkdirTemp(l.dir, "tree-")
	if err != nil {
		panic(err) // the directory for all of this is gone
	}
	return filepath.Join(dir, "home")
}

func remove(dir string) { os.RemoveAll(filepath.Dir(dir)) }
