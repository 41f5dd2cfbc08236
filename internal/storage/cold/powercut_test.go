package cold_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// disk is an ext4 file system in a file, of which a copy is what the end of the machine leaves.
type disk struct {
	b     *bed
	image string
	at    string // where it is mounted
	n     int
}

// onDisk has the file system under test keep its cache on a disk of its own.
func onDisk(d *disk, size int64) option {
	return func(b *bed) {
		d.b = b
		d.image, d.at = filepath.Join(b.state, "disk-0"), filepath.Join(b.state, "disk")
		f, err := os.Create(d.image)
		if err == nil {
			err = errors.Join(f.Truncate(size), f.Close(), os.Mkdir(d.at, 0o700))
		}
		if err != nil {
			b.t.Fatal(err)
		}
		d.run("mkfs.ext4", "-q", "-F", d.image)
		d.mount()
		b.t.Cleanup(func() { _ = unix.Unmount(d.at, unix.MNT_DETACH) })
		b.conf.Config.Cold.CachePath = filepath.Join(d.at, "cache")
	}
}

func (d *disk) run(name string, args ...string) {
	d.b.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.b.t.Fatalf("%s %q: %v: %s; the test needs root, e2fsprogs and loop devices", name, args, err, out)
	}
}

// mount is in this process's own mount namespace, and with the longest time that ext4 keeps what was not
// synced to itself, so that a crash takes it.
func (d *disk) mount() {
	d.b.t.Helper()
	d.run("mount", "-o", "loop,commit=300", d.image, d.at)
}

// cut ends the machine: what the kernel has not written to the disk is gone, and the boot is another.
func (d *disk) cut() {
	d.b.t.Helper()
	d.b.kill()
	was := d.image
	d.n++
	d.image = filepath.Join(d.b.state, fmt.Sprintf("disk-%d", d.n))
	d.run("cp", "--sparse=always", was, d.image)
	if err := unix.Unmount(d.at, unix.MNT_DETACH); err != nil {
		d.b.t.Fatal(err)
	}
	os.Remove(was)
	d.mount()
	dirs, err := filepath.Glob(filepath.Join(d.at, "cache", "*", "boot_id"))
	if err != nil {
		d.b.t.Fatal(err)
	}
	for _, name := range dirs {
		if err := os.WriteFile(name, []byte(fmt.Sprint("boot ", d.n)), 0o600); err != nil {
			d.b.t.Fatal(err)
		}
	}
}

// TestPowerCut writes files, syncs some of them, and ends the machine at some moment: what was synced is
// there, what was not is there in some version, or is named, and everything goes on.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	d := &disk{}
	b := newBed(t, throughProxy, onDisk(d, 64<<20), patience(5*time.Second))
	synced := map[string]string{}            // what has to be there
	versions := map[string]map[string]bool{} // what each file has ever been
	for round := range 6 {
		b.sh(`ls`)
		if round%2 == 0 {
			b.proxy.Away() // nothing goes up
		}
		for range 30 {
			name := fmt.Sprint("f", r.IntN(12))
			body, sync := strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(200_000)), r.IntN(2) == 0
			if versions[name] == nil {
				versions[name] = map[string]bool{}
			}
			versions[name][body] = true
			delete(synced, name)
			if err := replaceFile(b.path(name), body, sync); err != nil {
				t.Fatal(err)
			}
			if sync {
				synced[name] = body
			}
		}
		d.cut()
		b.proxy.Back()
		b.start()
		lost := map[string]bool{}
		for _, u := range b.flush() {
			if strings.HasPrefix(u.Path, b.path("")) {
				lost[filepath.Base(u.Path)] = true
			}
		}
		for name, body := range synced {
			if got, err := os.ReadFile(b.path(name)); err != nil || string(got) != body {
				t.Errorf("round %d: %s was synced with %d bytes of %.1s, and has %d of %.1s: %v", round, name, len(body), body, len(got), got, err)
			}
		}
		for name, all := range versions {
			got, err := os.ReadFile(b.path(name))
			if synced[name] == "" && err == nil && len(got) > 0 && !all[string(got)] {
				t.Errorf("round %d: %s was not synced, and has %d bytes that it never had under its own name; named as lost: %v", round, name, len(got), lost[name])
			}
		}
		if t.Failed() {
			return
		}
	}
	b.stop()
	b.start()
	var left []contract.Unsaved
	if left = b.flush(); len(left) > 0 {
		t.Errorf("left at the end: %+v", left)
	}
}

func replaceFile(name, body string, sync bool) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.WriteString(f, body); err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
