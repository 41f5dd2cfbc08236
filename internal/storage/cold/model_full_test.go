package cold_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// toggleDisk fills the disk below the cache, or makes room on it again.
func (m *model) toggleDisk() {
	name := filepath.Join(m.ballast, "ballast")
	if os.Remove(name) == nil {
		m.say("the disk has room again")
		return
	}
	m.say("the disk is full")
	f, err := os.Create(name)
	if err != nil {
		return // there is no room for that either
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
				m.fatal("%v", err)
			}
			return
		}
	}
}

// cacheOnDiskOf12MiB has the cache on a disk of its own.
func cacheOnDiskOf12MiB(b *bed) {
	disk := b.disk()
	if err := errors.Join(os.Mkdir(disk, 0o700), unix.Mount("tmpfs", disk, "tmpfs", 0, "size=12m,mode=700")); err != nil {
		b.t.Fatalf("cannot mount: %v; run the tests as root", err)
	}
	b.t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	b.conf.Config.Cold.CachePath = filepath.Join(disk, "cache")
}

func (b *bed) disk() string { return filepath.Join(b.state, "disk") }

// TestModelFullDisk has the disk below the cache fill up and become free again at any moment: what is
// refused with ENOSPC changes nothing, and what was acknowledged stays.
func TestModelFullDisk(t *testing.T) {
	t.Parallel()
	m := newModel(t, quiet(time.Millisecond), patience(3*time.Second), cacheOnDiskOf12MiB)
	disk := m.b.disk()
	m.ballast = disk
	m.rounds(8000/part, 400/part, func(round int) {
		os.Remove(filepath.Join(disk, "ballast"))
		switch round % 3 {
		case 1:
			m.closeAll()
			m.checkS3()
		case 2:
			m.closeAll()
			m.say("kill")
			m.b.kill()
			m.b.start()
		}
	})
}
