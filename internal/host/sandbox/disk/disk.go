package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

// Disk is one sandbox's file system, there or not.
type Disk struct{ dir string }

// At is the one at an absolute path, whose parent is there.
func At(dir string) Disk { return Disk{dir} }

// Least is the smallest size that leaves room for anything, in bytes.
const Least = 32 << 20

// ErrUnavailable says that this machine, or this user on it, cannot have one. The error
// around it says why, and what would help.
var ErrUnavailable = errors.New("this sandbox cannot have a disk of its own")

// Path is where all of it is.
func (d Disk) Path() string { return d.dir }

// Home is the directory for the home, while it is mounted.
func (d Disk) Home() string { return filepath.Join(d.at(), "home") }

// State is that for the state.
func (d Disk) State() string { return filepath.Join(d.at(), "state") }

func (d Disk) image() string { return filepath.Join(d.dir, "image") }
func (d Disk) at() string    { return filepath.Join(d.dir, "at") }

// Make makes and mounts a new one of size bytes, or nothing.
func (d Disk) Make(ctx context.Context, size int64) (err error) {
	if err := privileged(); err != nil {
		return err
	}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the sandbox's disk: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Remove())
		}
	}()
	if err := setAside(d.image(), size); err != nil {
		return err
	}
	if err := format(ctx, d.image(), size); err != nil {
		return err
	}
	if err := d.Mount(); err != nil {
		return err
	}
	for _, p := range []string{d.Home(), d.State()} {
		// As in the images. The engine makes them what they are in the image at hand.
		err := os.Mkdir(p, 0o755)
		if err == nil {
			err = os.Chown(p, contract.AgentUID, contract.AgentGID)
		}
		if err != nil {
			return fmt.Errorf("cannot make the sandbox's disk: %w", err)
		}
	}
	return nil
}

// privileged is asked first: the answers of the system calls name no remedy.
func privileged() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fmt.Errorf("%w: only root may mount; run this program as root", ErrUnavailable)
}

// setAside makes a file that has all of its blocks.
func setAside(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make the sandbox's disk: %w", err)
	}
	defer f.Close()
	for {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: there is no room to set its %d MB aside in %s: %w; ask for less, or free some", ErrUnavailable, size>>20, filepath.Dir(path), err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: the file system of %s cannot set space aside (fallocate): %w; choose a data directory on ext4, XFS or btrfs", ErrUnavailable, filepath.Dir(path), err)
	}
	return fmt.Errorf("cannot set %d MB aside for the sandbox's disk in %s: %w", size>>20, filepath.Dir(path), err)
}

// Mount mounts what Make has made. One that is mounted stays as it is.
func (d Disk) Mount() error {
	if mounted, err := d.Mounted(); mounted || err != nil {
		return err
	}
	if err := privileged(); err != nil {
		return err
	}
	if err := os.Mkdir(d.at(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot mount the sandbox's disk: %w", err)
	}
	dev, err := attach(d.image())
	if err != nil {
		return err
	}
	defer dev.Close() // the mount holds it from then on
	// noinit_itable: the kernel would fill the inode tables with zeros in the background, for
	// file systems that live longer than this one. One that is damaged is not written to.
	// Without discard: it would give back what was set aside.
	const options = "noinit_itable,errors=remount-ro"
	if err := unix.Mount(dev.Name(), d.at(), "ext4", unix.MS_NODEV|unix.MS_NOSUID, options); err != nil {
		return cannotMount(d.image(), err)
	}
	return nil
}

func cannotMount(image string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: cannot mount %s: %w; this program needs CAP_SYS_ADMIN, which a container does not have", ErrUnavailable, image, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: cannot mount %s: the kernel has no ext4; `modprobe ext4` may load it", ErrUnavailable, image)
	}
	return fmt.Errorf("cannot mount %s: %w; the kernel's log (`dmesg`) says more", image, err)
}

// Mounted says whether it is mounted, as far as this program sees.
func (d Disk) Mounted() (bool, error) {
	var below, at unix.Stat_t
	err := unix.Lstat(d.dir, &below)
	if err == nil {
		err = unix.Lstat(d.at(), &at)
	}
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot tell whether %s is mounted: %w", d.at(), err)
	}
	return at.Dev != below.Dev, nil
}

// Unmount unmounts it, which detaches its device. What was written stays in the image.
func (d Disk) Unmount() error {
	if mounted, err := d.Mounted(); !mounted || err != nil {
		return err
	}
	err := unix.Unmount(d.at(), unix.UMOUNT_NOFOLLOW)
	if err == unix.EBUSY {
		// A process looks into it. It goes when that process does.
		err = unix.Unmount(d.at(), unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	if err != nil {
		return fmt.Errorf("cannot unmount %s: %w", d.at(), err)
	}
	return nil
}

// Remove removes it and all that is in it. One that is not there is no error.
func (d Disk) Remove() error {
	// First, or what is removed below is the content, while it may still be looked at.
	if err := d.Unmount(); err != nil {
		return err
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("cannot remove the sandbox's disk: %w", err)
	}
	return nil
}

// Usage is how full one is, in bytes.
type Usage struct {
	Size int64 `json:"size_bytes"` // of the image
	Used int64 `json:"used_bytes"` // of its blocks, the file system's own included
	Free int64 `json:"free_bytes"` // what the workload may still write
}

// Usage says how full it is, ok while it is mounted.
func (d Disk) Usage() (u Usage, ok bool) {
	if mounted, err := d.Mounted(); !mounted || err != nil {
		return Usage{}, false
	}
	image, err := os.Stat(d.image())
	if err != nil {
		return Usage{}, false
	}
	var st unix.Statfs_t
	if unix.Statfs(d.at(), &st) != nil {
		return Usage{}, false
	}
	return Usage{Size: image.Size(), Used: image.Size() - int64(st.Bfree)*st.Frsize, Free: int64(st.Bavail) * st.Frsize}, true
}
