package hostd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

// discarded puts a home with a file in it into the trash.
func discarded(t *testing.T, d datadir.Dir, name string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	err := os.Mkdir(home, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(home, "file"), nil, 0o600)
	}
	if err == nil {
		err = d.Trash().Put(home, name)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func trashed(t *testing.T, d datadir.Dir) int {
	t.Helper()
	names, err := d.Trash().Entries()
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// While a home is being removed the daemon stays and sweeps on; homes are removed one at a
// time, and what cannot be removed is left, and keeps neither the daemon nor the rest.
func TestTrashIsEmptiedInTheBackground(t *testing.T) {
	d := newDir(t)
	for _, name := range []string{"a", "b", "c"} {
		discarded(t, d, name)
	}
	k := sweeper(t, d, running())
	k.Linger = linger
	removing, goOn := make(chan string), make(chan error)
	k.emptier = newEmptier(k, func(ctx context.Context, name string) error {
		removing <- name
		if err := <-goOn; err != nil {
			return err
		}
		return d.Trash().Remove(name, ctx.Err)
	})
	k.sweep()
	stuck := <-removing
	k.sweep() // does not wait, nor begin a second
	if k.mu.Lock(); k.holds != 1 {
		t.Errorf("%d hold the daemon", k.holds)
	}
	k.mu.Unlock()
	goOn <- errors.New("it is immutable")
	var rest []string
	for range 2 {
		rest = append(rest, <-removing)
		goOn <- nil
	}
	if slices.Contains(rest, stuck) {
		t.Errorf("%q was tried again", stuck)
	}
	discarded(t, d, "d")
	k.sweep()
	<-removing
	goOn <- nil
	k.fail(nil)
	k.work.Wait()
	if n := trashed(t, d); n != 1 || k.holds != 0 {
		t.Errorf("%d entries are left, %d hold the daemon", n, k.holds)
	}
}

// A daemon that ends leaves the rest to the next one.
func TestTrashOfAKilledDaemonIsEmptiedByTheNext(t *testing.T) {
	d := newDir(t)
	discarded(t, d, "a")
	first := sweeper(t, d, running())
	first.Linger = linger
	begun := make(chan struct{})
	first.emptier = newEmptier(first, func(ctx context.Context, _ string) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	first.sweep()
	<-begun
	first.fail(nil)
	first.work.Wait()
	if trashed(t, d) != 1 {
		t.Fatal("it was removed")
	}
	next := sweeper(t, d, running())
	next.Linger = linger
	next.sweep()
	next.work.Wait()
	if trashed(t, d) != 0 {
		t.Error("it is left")
	}
}
