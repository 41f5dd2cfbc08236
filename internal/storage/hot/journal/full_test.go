package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of its own, which the test can fill.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Fatalf("cannot mount a small file system (the test runs as root, with CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func fill(t *testing.T, dir string) (remove func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() { os.Remove(f.Name()) }
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	j := mustOpen(t, dir, home)
	put := func(i int) error {
		p := fmt.Sprintf("some/directory/file-%06d", i)
		return j.Put(Entry{Path: p, Key: p, ETag: fmt.Sprintf("%032x", i+1)})
	}
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	empty := fill(t, dir)
	// What was booked ahead carries on for a while.
	n := 1
	var err error
	for ; err == nil && n < 100_000; n++ {
		err = put(n)
	}
	if !errors.Is(err, unix.ENOSPC) || !errors.Is(j.Err(), unix.ENOSPC) {
		t.Fatalf("after %d records on a full disk: %v, Err %v", n, err, j.Err())
	}
	if n < 2000 {
		t.Errorf("only %d records were written on a full disk", n)
	}
	for i := range 10 {
		if err := put(n + i); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("a record on a full disk: %v", err)
		}
	}
	n += 10
	if j.Len() != n {
		t.Errorf("%d entries in memory, want %d", j.Len(), n)
	}
	empty()
	if err := j.Sync(); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if j.Err() != nil {
		t.Errorf("Err says %v", j.Err())
	}
	want := stateOf(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, dir, home)
	defer j.Close()
	if diff := cmp.Diff(want, stateOf(j)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A kill on a full disk loses the newest records alone, and the log can be read.
func TestKilledOnFullDisk(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	j := mustOpen(t, dir, home)
	fill(t, dir)
	n := 0
	for ; n < 100_000; n++ {
		p := fmt.Sprintf("file-%06d", n)
		if j.Put(Entry{Path: p, Key: p}) != nil {
			break
		}
	}
	j.log.close() // as a kill would
	j = mustOpen(t, dir, home)
	defer j.Close()
	if j.Len() != n || j.Origin() != Continued {
		t.Errorf("%d entries of %d, %v", j.Len(), n, j.Origin())
	}
}
