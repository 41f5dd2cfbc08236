package objectstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/matrx/sandbox/bench/rawclient"
	"github.com/matrx/sandbox/internal/storage/posixattr"
	"github.com/matrx/sandbox/internal/testbed"
)

// BenchmarkBesideRaw moves small objects, 64 at a time, through a Store and through the raw
// client, in turns and in one run, and reports the ratios: of the wall time, and of the CPU
// time of this process, in which both clients run and the server does not. Both read the same
// objects; the raw client writes without attributes and checksums.
func BenchmarkBesideRaw(b *testing.B) {
	srv := testbed.S3(b)
	const n, size, workers = 2000, 4096, 64
	body := content(size)
	attr := posixattr.Encode(posixattr.Attr{Mode: 0o100644, Mtime: 1732279200123456789, UID: 1000, GID: 1000}, "0123456789abcdef")
	each := func(f func(i int) error) error {
		var g errgroup.Group
		g.SetLimit(workers)
		for i := range n {
			g.Go(func() error { return f(i) })
		}
		return g.Wait()
	}
	for _, endpoint := range []string{srv.Endpoint, srv.Socket} {
		bucket := srv.Bucket(b)
		c := bucket.Config()
		c.Endpoint = endpoint
		s, err := Open(b.Context(), Options{S3: c, Credentials: srv.Credentials()})
		if err != nil {
			b.Fatal(err)
		}
		raw := rawclient.New(rawclient.Options{Endpoint: endpoint, Bucket: bucket.Name, AccessKey: srv.AccessKey, SecretKey: srv.SecretKey})
		ctx := context.Background()
		put := func(i int) error {
			_, err := s.Put(ctx, fmt.Sprint("store/", i), bytes.NewReader(body), size, PutOptions{Metadata: attr})
			return err
		}
		if err := each(put); err != nil {
			b.Fatal(err)
		}
		for _, v := range []struct {
			name        string
			store, peer func(i int) error
		}{
			{"put", put, func(i int) error { return raw.PutBytes(ctx, fmt.Sprint("raw/", i), body) }},
			{"get", func(i int) error {
				r, err := s.Get(ctx, fmt.Sprint("store/", i), GetOptions{})
				if err != nil {
					return err
				}
				defer r.Close()
				_, err = io.Copy(io.Discard, r)
				return err
			}, func(i int) error { return raw.GetTo(ctx, fmt.Sprint("store/", i), io.Discard) }},
		} {
			b.Run(fmt.Sprintf("%s/%.4s", v.name, endpoint), func(b *testing.B) {
				var ours, theirs cost
				for b.Loop() {
					theirs.add(b, func() error { return each(v.peer) })
					ours.add(b, func() error { return each(v.store) })
				}
				b.ReportMetric(float64(ours.wall)/float64(theirs.wall), "wall/raw")
				b.ReportMetric(float64(ours.cpu)/float64(theirs.cpu), "cpu/raw")
				b.ReportMetric(float64(ours.cpu.Microseconds())/float64(b.N*n), "cpu-µs/object")
				b.ReportMetric(float64(ours.wall.Microseconds())/float64(b.N*n), "wall-µs/object")
				b.ReportMetric(0, "ns/op")
			})
		}
		s.Close()
		raw.Close()
	}
}

// BenchmarkLargeBesideRaw moves one large object both ways, in parts and in ranges.
func BenchmarkLargeBesideRaw(b *testing.B) {
	srv := testbed.S3(b)
	const size = 256 << 20
	bucket := srv.Bucket(b)
	ctx := context.Background()
	dir := b.TempDir()
	src := filepath.Join(dir, "src")
	if err := os.WriteFile(src, content(size), 0o644); err != nil {
		b.Fatal(err)
	}
	for _, endpoint := range []string{srv.Endpoint, srv.Socket} {
		c := bucket.Config()
		c.Endpoint = endpoint
		s, err := Open(b.Context(), Options{S3: c, Credentials: srv.Credentials()})
		if err != nil {
			b.Fatal(err)
		}
		raw := rawclient.New(rawclient.Options{Endpoint: endpoint, Bucket: bucket.Name, AccessKey: srv.AccessKey, SecretKey: srv.SecretKey})
		for _, v := range []struct {
			name        string
			store, peer func() error
		}{
			{"up", func() error {
				f, err := os.Open(src)
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = s.Put(ctx, "store", f, size, PutOptions{})
				return err
			}, func() error { _, err := raw.UploadFile(ctx, src, "raw"); return err }},
			{"down", func() error {
				f, err := os.Create(filepath.Join(dir, "store"))
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = s.Download(ctx, "store", f, DownloadOptions{})
				return err
			}, func() error {
				_, err := raw.DownloadFile(ctx, "raw", filepath.Join(dir, "raw"), size)
				return err
			}},
		} {
			b.Run(fmt.Sprintf("%s/%.4s", v.name, endpoint), func(b *testing.B) {
				var ours, theirs cost
				for b.Loop() {
					theirs.add(b, v.peer)
					ours.add(b, v.store)
				}
				b.ReportMetric(float64(ours.wall)/float64(theirs.wall), "wall/raw")
				b.ReportMetric(float64(ours.cpu)/float64(theirs.cpu), "cpu/raw")
				b.ReportMetric(float64(b.N)*size/1e6/ours.wall.Seconds(), "MB/s")
				b.ReportMetric(0, "ns/op")
			})
		}
		s.Close()
		raw.Close()
	}
}

type cost struct{ wall, cpu time.Duration }

func (c *cost) add(b *testing.B, f func() error) {
	start, before := time.Now(), cpuTime()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	c.wall += time.Since(start)
	c.cpu += cpuTime() - before
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
