package trash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func newTrash(t *testing.T) Dir {
	t.Helper()
	d := At(filepath.Join(t.TempDir(), "trash"))
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

func never() error { return nil }

func entries(t *testing.T, d Dir) []string {
	t.Helper()
	names, err := d.Entries()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// put makes a directory by a script and puts it into the trash.
func put(t *testing.T, d Dir, fill func(dir string) error) (name string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "home")
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = fill(dir)
	}
	if err == nil {
		err = d.Put(dir, "one-home")
	}
	if err != nil {
		t.Fatal(err)
	}
	return entries(t, d)[0]
}

// Files and directories of all kinds go; what links lead to stays.
func TestRemoveFollowsNoLink(t *testing.T) {
	d, outside := newTrash(t), t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	name := put(t, d, func(dir string) error {
		deep := filepath.Join(dir, "a", "b", "c")
		return errors.Join(os.MkdirAll(deep, 0o700), os.Symlink(outside, filepath.Join(dir, "link")), os.Symlink(outside, filepath.Join(deep, "link")),
			os.Symlink(kept, filepath.Join(dir, "a", "file")), unix.Mkfifo(filepath.Join(deep, "fifo"), 0o600),
			os.WriteFile(filepath.Join(deep, "\xff\n"), nil, 0), os.Mkdir(filepath.Join(deep, "closed"), 0))
	})
	if err := d.Remove(name, never); err != nil {
		t.Fatal(err)
	}
	if left := entries(t, d); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("what a link led to is gone: %v", err)
	}
}

// A directory that is found full may be a link when it is opened, and so may an entry of the trash.
func TestRemoveOpensNoLink(t *testing.T) {
	for name, remove := range map[string]func(d Dir, link string) error{
		"an entry": func(d Dir, link string) error { return d.Remove(link, never) },
		"a directory that becomes one": func(d Dir, link string) error {
			name := "full"
			if err := os.MkdirAll(filepath.Join(d.path, name, "a"), 0o700); err != nil {
				return err
			}
			at, err := openDir(unix.AT_FDCWD, d.path)
			if err != nil {
				return err
			}
			defer at.Close()
			r := newRemover(at, never)
			return r.remove(at, name, func(in *os.File, name string) error {
				if err := errors.Join(os.RemoveAll(filepath.Join(d.path, name)), os.Rename(filepath.Join(d.path, link), filepath.Join(d.path, name))); err != nil {
					t.Fatal(err)
				}
				return r.emptyChild(in, name)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, outside := newTrash(t), t.TempDir()
			kept := filepath.Join(outside, "kept")
			if err := errors.Join(os.WriteFile(kept, nil, 0o600), os.Symlink(outside, filepath.Join(d.path, "link"))); err != nil {
				t.Fatal(err)
			}
			if err := remove(d, "link"); !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
				t.Errorf("it says %v", err)
			}
			if _, err := os.Stat(kept); err != nil {
				t.Errorf("what the link leads to is gone: %v", err)
			}
		})
	}
}

// A workload may make a tree deeper than a process may have open files, whose path no call takes.
func TestRemoveOfADeepTree(t *testing.T) {
	d := newTrash(t)
	name := put(t, d, func(dir string) error {
		at, err := openDir(unix.AT_FDCWD, dir)
		for n := 0; n < 3000 && err == nil; n++ {
			below := at
			if err = unix.Mkdirat(int(at.Fd()), "directory", 0o700); err == nil {
				at, err = openDir(int(at.Fd()), "directory")
			}
			below.Close()
		}
		at.Close()
		return err
	})
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	err := d.Remove(name, never)
	if rerr := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); rerr != nil {
		t.Fatal(rerr)
	}
	if left := entries(t, d); err != nil || len(left) != 0 {
		t.Errorf("%v, left %q", err, left)
	}
}

// The daemon removes an entry, and a program that finds the disk full does too: both come to the end of it.
func TestRemoveBySeveralAtOnce(t *testing.T) {
	d := newTrash(t)
	name := put(t, d, func(dir string) (err error) {
		for n := range 200 {
			sub := filepath.Join(dir, fmt.Sprint(n%20), fmt.Sprint(n), "x", "y")
			err = errors.Join(err, os.MkdirAll(sub, 0o700), os.WriteFile(filepath.Join(sub, "file"), nil, 0o600))
		}
		return err
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := d.Remove(name, never); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if left := entries(t, d); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
}

// A mount below is not entered, and named; the rest goes.
func TestRemoveEntersNoMount(t *testing.T) {
	d, outside := newTrash(t), t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	name := put(t, d, func(dir string) error {
		return errors.Join(os.MkdirAll(filepath.Join(dir, "a", "mounted"), 0o700), os.WriteFile(filepath.Join(dir, "a", "file"), nil, 0o600))
	})
	at := filepath.Join(d.path, name, "a", "mounted")
	if err := unix.Mount(outside, at, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("this test needs root, to mount a directory: %v", err)
	}
	err := d.Remove(name, never)
	if uerr := unix.Unmount(at, 0); uerr != nil {
		t.Fatal(uerr)
	}
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("it says %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(d.path, name, "a", "file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file beside it: %v", err)
	}
	if err := d.Remove(name, never); err != nil || len(entries(t, d)) != 0 {
		t.Errorf("unmounted: %v", err)
	}
}

// A removal that ends in the middle, wherever that is, is taken up by the next.
func TestRemoveIsTakenUpAfterAnEnd(t *testing.T) {
	d := newTrash(t)
	const dirs, files = 20, 30
	name := put(t, d, func(dir string) (err error) {
		for n := range dirs {
			sub := filepath.Join(dir, fmt.Sprint(n), "x", "y")
			err = errors.Join(err, os.MkdirAll(sub, 0o700))
			for m := range files {
				err = errors.Join(err, os.WriteFile(filepath.Join(sub, fmt.Sprint(m)), nil, 0o600))
			}
		}
		return err
	})
	enough := errors.New("enough")
	ends := 0
	for {
		pauses := 0
		err := d.Remove(name, func() error {
			if pauses++; pauses > 1 {
				return enough
			}
			return nil
		})
		if err == nil {
			break
		}
		if ends++; !errors.Is(err, enough) || ends > dirs*files {
			t.Fatalf("end %d: %v", ends, err)
		}
	}
	if left := entries(t, d); ends == 0 || len(left) != 0 {
		t.Errorf("after %d ends, left %q", ends, left)
	}
}

// A container may still run with a home that was given up for ended: its files are not removed.
func TestRemoveLeavesWhatIsMounted(t *testing.T) {
	d := newTrash(t)
	name := put(t, d, func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), nil, 0o600) })
	at := t.TempDir()
	if err := unix.Mount(filepath.Join(d.path, name), at, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("this test needs root, to mount a directory: %v", err)
	}
	err := d.Remove(name, never)
	_, left := os.Stat(filepath.Join(at, "file"))
	if uerr := unix.Unmount(at, 0); uerr != nil {
		t.Fatal(uerr)
	}
	if !errors.Is(err, errMounted) || left != nil {
		t.Errorf("it says %v, and the file: %v", err, left)
	}
	if err := d.Remove(name, never); err != nil || len(entries(t, d)) != 0 {
		t.Errorf("unmounted: %v", err)
	}
}
