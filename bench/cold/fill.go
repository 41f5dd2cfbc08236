package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// source is a directory of n files f0, f1... of that size; it is made once.
func (l *runner) source(n int, size int64) (string, error) {
	dir := filepath.Join(l.dir, fmt.Sprintf("source-%d-%d", n, size))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, writeFiles(dir, int64(n), 0, size)
}

// writeFiles makes files, in so many directories.
func writeFiles(dir string, n, dirs, size int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	r := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, min(size, mib))
	for i := range n {
		to := filepath.Join(dir, fmt.Sprintf("f%d", i))
		if dirs > 0 {
			// Of two levels: 20 with 25 each in 520.
			d := i % dirs
			to = filepath.Join(dir, fmt.Sprintf("d%02d", d%20), fmt.Sprintf("e%02d", d/20), fmt.Sprintf("f%d", i))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
		}
		if err := writeFile(to, size, buf, r); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(name string, size int64, buf []byte, r *rand.ChaCha8) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for left := size; left > 0; left -= int64(len(buf)) {
		_, _ = r.Read(buf)
		if _, err := f.Write(buf[:min(left, int64(len(buf)))]); err != nil {
			return err
		}
	}
	return f.Close()
}

// fillTree puts files into the bucket, once.
func (l *runner) fillTree(name string, n, dirs int64) error {
	have, err := l.raw.List(context.Background(), prefix+name+"/")
	if err != nil || int64(len(have)) == n {
		return err
	}
	dir := l.fresh("fill")
	defer os.RemoveAll(dir)
	if err := writeFiles(dir, n, dirs, smallSize); err != nil {
		return err
	}
	_, err = l.raw.Upload(context.Background(), dir, prefix+name+"/")
	return err
}

func fillLarge(l *runner) error {
	have, err := l.raw.List(context.Background(), prefix+"large")
	if err != nil || len(have) == 1 {
		return err
	}
	from, err := l.source(1, large/l.scale)
	if err != nil {
		return err
	}
	_, err = l.raw.UploadFile(context.Background(), filepath.Join(from, "f0"), prefix+"large")
	return err
}

func fillInTurn(l *runner) error {
	from, err := l.source(1, inTurn/l.scale)
	for i := 0; err == nil && i < len(turns); i++ {
		_, err = l.raw.UploadFile(context.Background(), filepath.Join(from, "f0"), turnKey(i))
	}
	return err
}
