// Command raw runs the raw client of package rawclient and prints what it cost as one JSON
// object: objects, bytes, wall and CPU seconds, and the largest resident set in KiB.
//
//	raw -endpoint http://127.0.0.1:9000 -bucket b up DIR PREFIX
//	raw ... down PREFIX DIR
//	raw ... list PREFIX
//	raw ... rm PREFIX
//	raw ... put FILE KEY
//	raw ... get KEY FILE SIZE
//	raw ... seq KEY
//	raw ... rand KEY SIZE COUNT PIECE
//
// The keys are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/matrx/sandbox/bench/rawclient"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "raw:", err)
		os.Exit(1)
	}
}

func run() error {
	o := rawclient.Options{AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}
	flag.StringVar(&o.Endpoint, "endpoint", "http://127.0.0.1:9000", "where S3 is")
	flag.StringVar(&o.Bucket, "bucket", "bucket", "the bucket")
	flag.StringVar(&o.Region, "region", "us-east-1", "the region")
	flag.IntVar(&o.Workers, "workers", 64, "requests at a time")
	flag.Parse()
	c := rawclient.New(o)
	start := time.Now()
	s, err := command(context.Background(), c, flag.Args())
	if err != nil {
		return err
	}
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(struct {
		rawclient.Stats
		Wall float64 `json:"wall_seconds"`
		CPU  float64 `json:"cpu_seconds"`
		RSS  int64   `json:"max_rss_kib"`
	}{s, time.Since(start).Seconds(), float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, r.Maxrss})
}

// command runs one of the commands above.
func command(ctx context.Context, c *rawclient.Client, args []string) (rawclient.Stats, error) {
	want := map[string]int{"up": 2, "down": 2, "list": 1, "rm": 1, "put": 2, "get": 3, "seq": 1, "rand": 4}
	if len(args) == 0 || want[args[0]] != len(args)-1 {
		return rawclient.Stats{}, fmt.Errorf("give up DIR PREFIX, down PREFIX DIR, list PREFIX, rm PREFIX, put FILE KEY, get KEY FILE SIZE, seq KEY or rand KEY SIZE COUNT PIECE")
	}
	name, a := args[0], args[1:]
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(a[i], 10, 64)
		return n
	}
	switch name {
	case "up":
		return c.Upload(ctx, a[0], a[1])
	case "down":
		return c.Download(ctx, a[0], a[1])
	case "rm":
		return c.Delete(ctx, a[0])
	case "put":
		return c.UploadFile(ctx, a[0], a[1])
	case "get":
		return c.DownloadFile(ctx, a[0], a[1], number(2))
	case "seq":
		return c.Sequential(ctx, a[0])
	case "rand":
		return c.Random(ctx, a[0], number(1), int(number(2)), number(3))
	}
	entries, err := c.List(ctx, a[0])
	return rawclient.Stats{Objects: len(entries)}, err
}
