package datadir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A sandbox's directory appears with all that it needs, its record and a lock that is held, and goes
// in one step: a program that is killed in between leaves a directory that no sandbox can have
// the name of, and Sweep removes it.
const (
	unfinished = ".new-"  // and the PID of the program that makes it
	removed    = ".gone-" // being removed
)

// Make makes the directory of a new sandbox and takes its lock; ErrExists when its ID is taken.
func (s Sandbox) Make(r Record) (*Lock, error) {
	lock, err := s.make(r)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot make the sandbox %s: %w; `sandbox ps --all` lists them", s.ID, ErrExists)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the sandbox %s: %w", s.ID, err)
	}
	return lock, nil
}

func (s Sandbox) make(r Record) (lock *Lock, err error) {
	made := Sandbox{ID: s.ID, path: filepath.Join(filepath.Dir(s.path), unfinished+strconv.Itoa(os.Getpid())+"-"+rand.Text())}
	if err := os.Mkdir(made.path, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(made.path)
		}
	}()
	for _, d := range []string{made.HostDir(), made.RunDir()} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	if r.Dirs {
		if err := made.makeHome(); err != nil {
			return nil, err
		}
	}
	if err := made.Save(r); err != nil {
		return nil, err
	}
	if lock, err = made.Lock(context.Background()); err != nil {
		return nil, err
	}
	// Over an empty directory it would succeed, and such a one is no sandbox's.
	if err := os.Rename(made.path, s.path); err != nil {
		lock.Unlock()
		return nil, err
	}
	return lock, nil
}

// Remove removes the directory and all in it. The caller holds the lock, and there is no container any more.
func (s Sandbox) Remove() error {
	// While there is a record: a program that is killed in between leaves a mount that the daemon ends.
	if err := s.Disk().Remove(); err != nil {
		return fmt.Errorf("cannot remove the disk of the sandbox %s: %w", s.ID, err)
	}
	if instance := s.Instance(); instance != "" {
		_ = s.Dir().markDead(instance) // or its lease has to run out
	}
	if err := s.DiscardHome(); err != nil {
		return fmt.Errorf("cannot remove the home of the sandbox %s: %w", s.ID, err)
	}
	gone := filepath.Join(filepath.Dir(s.path), removed+s.ID+"-"+rand.Text())
	err := os.Rename(s.path, gone)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove the record of the sandbox %s: %w", s.ID, err)
	}
	_ = os.RemoveAll(gone) // what a container's root has left there Sweep removes
	return nil
}

// leftoverAfter is how old a directory without a record has to be for Sweep to take it for
// a leftover: before Make was one step, it had none at first.
const leftoverAfter = time.Minute

// Sweep removes what killed programs have left in the directory. What this program has no right to
// remove is given to scrub, which empties a directory as root, with the record that is in it.
func (d Dir) Sweep(scrub func(dir string, r Record) error) error {
	entries, err := os.ReadDir(d.sandboxes())
	if err != nil {
		return fmt.Errorf("cannot sweep the data directory: %w", err)
	}
	err = d.forgetDead()
	for _, e := range entries {
		path := filepath.Join(d.sandboxes(), e.Name())
		switch {
		case strings.HasPrefix(e.Name(), removed):
		case strings.HasPrefix(e.Name(), unfinished) && !isAlive(e.Name()):
		case d.isLeftover(e):
		default:
			continue
		}
		r, _ := Sandbox{path: path}.Load()
		rerr := os.RemoveAll(path)
		if rerr != nil {
			if rerr = scrub(path, r); rerr == nil {
				rerr = os.RemoveAll(path)
			}
		}
		err = errors.Join(err, rerr)
	}
	return err
}

// isAlive says whether the program lives that makes a directory of that name.
func isAlive(name string) bool {
	text, _, _ := strings.Cut(strings.TrimPrefix(name, unfinished), "-")
	pid, err := strconv.Atoi(text)
	return err == nil && pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// isLeftover says whether a directory has no record, and has had none for long.
func (d Dir) isLeftover(e os.DirEntry) bool {
	s, err := d.Sandbox(e.Name())
	if err != nil || !e.IsDir() {
		return false
	}
	if _, err := os.Lstat(s.file("record.json")); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if s.holdsFiles() {
		return false // its record was lost, and what it has kept was not
	}
	fi, err := e.Info()
	if err != nil || time.Since(fi.ModTime()) < leftoverAfter {
		return false
	}
	lock, err := s.TryLock()
	if err != nil {
		return false
	}
	lock.Unlock()
	return true
}
