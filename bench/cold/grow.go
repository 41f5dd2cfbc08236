package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// grow appends to a file that is in S3, as a log grows, and waits until S3 has all of it.
func (l *runner) grow(dir string, r *result) error {
	from, err := l.source(1, grown/l.scale)
	if err != nil {
		return err
	}
	name := l.name("grown")
	if _, err := l.raw.UploadFile(context.Background(), filepath.Join(from, "f0"), prefix+name); err != nil {
		return err
	}
	before := l.line.Sent()
	defer func() { r.sent = l.line.Sent() - before }()
	line := bytes.Repeat([]byte("x"), 1<<10)
	n := max(1, appends/l.scale)
	return r.step("in S3", func() error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for range n {
			if err := appendTo(filepath.Join(dir, name), line); err != nil {
				return err
			}
			<-tick.C
		}
		return l.await(name, grown/l.scale+n<<10)
	})
}

func appendTo(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// await returns when an object has a size.
func (l *runner) await(name string, size int64) error {
	for start := time.Now(); time.Since(start) < 10*time.Minute; time.Sleep(100 * time.Millisecond) {
		all, err := l.raw.List(context.Background(), prefix+name)
		if err != nil {
			return err
		}
		if len(all) == 1 && all[0].Size == size {
			return nil
		}
	}
	return fmt.Errorf("%s has not %d bytes in S3 after ten minutes", name, size)
}
