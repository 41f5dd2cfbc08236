package datadir

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// replace writes a file whole or not at all, to the disk.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when it was renamed
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// LockFile takes an exclusive lock on a file, which it makes, until the file is closed.
// It waits until ctx is done. A flock that waits cannot be called off: when ctx ends
// first, a goroutine remains that takes the lock when it is free and gives it back.
//
// The file may have been removed by the holder that it waited for, and made again by another process:
// a lock on the removed file protects nothing, so it is taken again on the one at the path.
// fs.ErrNotExist when the directory has gone as well.
func LockFile(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := lockOnce(ctx, path)
		if err != nil {
			return nil, err
		}
		if isAt(f, path) {
			return f, nil
		}
		f.Close()
	}
}

// isAt says whether the path leads to the open file.
func isAt(f *os.File, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(held, there)
}

func lockOnce(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = flock(f, unix.LOCK_EX)
	}()
	select {
	case <-done:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		return f, nil
	case <-ctx.Done():
		go func() {
			<-done
			f.Close()
		}()
		return nil, fmt.Errorf("cannot lock %s: %w", path, context.Cause(ctx))
	}
}
