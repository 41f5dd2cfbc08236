package rawclient

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Stats is what was moved.
type Stats struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Upload puts each regular file below dir under prefix, Workers at a time.
func (c *Client) Upload(ctx context.Context, dir, prefix string) (Stats, error) {
	var files []string
	var s Stats
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return s, err
	}
	sizes := make([]int64, len(files))
	err = c.each(ctx, len(files), func(ctx context.Context, i int) error {
		b, err := os.ReadFile(files[i])
		if err != nil {
			return err
		}
		sizes[i] = int64(len(b))
		_, err = c.drop(ctx, "PUT", prefix+strings.TrimPrefix(files[i], dir+"/"), "", bytes.NewReader(b), sizes[i])
		return err
	})
	for _, n := range sizes {
		s.Bytes += n
	}
	s.Objects = len(files)
	return s, err
}

// Download lists prefix and writes each object below dir, Workers at a time.
func (c *Client) Download(ctx context.Context, prefix, dir string) (Stats, error) {
	entries, err := c.List(ctx, prefix)
	if err != nil {
		return Stats{}, err
	}
	s := Stats{Objects: len(entries)}
	made := map[string]bool{}
	for _, e := range entries {
		s.Bytes += e.Size
		d := filepath.Dir(filepath.Join(dir, strings.TrimPrefix(e.Key, prefix)))
		if !made[d] {
			made[d] = true
			if err := os.MkdirAll(d, 0o755); err != nil {
				return s, err
			}
		}
	}
	return s, c.each(ctx, len(entries), func(ctx context.Context, i int) error {
		return c.get(ctx, entries[i].Key, filepath.Join(dir, strings.TrimPrefix(entries[i].Key, prefix)))
	})
}

func (c *Client) get(ctx context.Context, key, path string) error {
	resp, err := c.do(ctx, "GET", key, "", nil, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Delete removes all keys that begin with prefix.
func (c *Client) Delete(ctx context.Context, prefix string) (Stats, error) {
	entries, err := c.List(ctx, prefix)
	if err != nil {
		return Stats{}, err
	}
	return Stats{Objects: len(entries)}, c.each(ctx, len(entries), func(ctx context.Context, i int) error {
		_, err := c.drop(ctx, "DELETE", entries[i].Key, "", nil, 0)
		return err
	})
}

// each runs f for 0 to n-1, Workers at a time.
func (c *Client) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	next := make(chan int)
	for range min(c.o.Workers, n) {
		g.Go(func() error {
			for i := range next {
				if err := f(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	return g.Wait()
}

// PutBytes puts one small object.
func (c *Client) PutBytes(ctx context.Context, key string, body []byte) error {
	_, err := c.drop(ctx, "PUT", key, "", bytes.NewReader(body), int64(len(body)))
	return err
}

// GetTo gets one object.
func (c *Client) GetTo(ctx context.Context, key string, w io.Writer) error {
	resp, err := c.do(ctx, "GET", key, "", nil, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}
