package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// attach gives a file a loop device (loop(4)), which detaches itself when no process has it
// open or mounted any more: close it after it was mounted.
func attach(image string) (*os.File, error) {
	f, err := openNameless(image)
	if err != nil {
		return nil, fmt.Errorf("cannot mount the sandbox's disk: %w", err)
	}
	defer f.Close() // the device holds it
	if dev, err := attached(f); dev != nil || err != nil {
		return dev, err
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: there are no loop devices: %w; `modprobe loop` may bring them, a container has none", ErrUnavailable, err)
	}
	defer control.Close()
	// Programs that ask at the same time are told of the same device, and one gets it. So each further
	// attempt means that another program has got on.
	for range 1000 {
		dev, err := attachFree(control, f)
		if !errors.Is(err, unix.EBUSY) {
			return dev, err
		}
	}
	return nil, fmt.Errorf("%w: others take each free loop device first", ErrUnavailable)
}

// openNameless opens a file so that the kernel tells no process of the directories above it. Every
// container may read what the kernel says of every loop device, in
// /sys/block/loop*/loop/backing_file, and the path has the sandbox's ID and the user's name in it.
// In a mount of its own, which is nowhere, the file is at the root.
func openNameless(image string) (*os.File, error) {
	dir, err := unix.OpenTree(unix.AT_FDCWD, filepath.Dir(image), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err == unix.EPERM || err == unix.ENOSYS {
		return nil, fmt.Errorf("%w: open_tree: %w; it takes Linux 5.8 or later and CAP_SYS_ADMIN, which a container does not have", ErrUnavailable, err)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: filepath.Dir(image), Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, filepath.Base(image), unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: image, Err: err}
	}
	return os.NewFile(uintptr(fd), image), nil
}

// attachFree tries the device that is free; unix.EBUSY when it was taken meanwhile.
func attachFree(control, f *os.File) (*os.File, error) {
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, fmt.Errorf("%w: no loop device is free: %w", ErrUnavailable, err)
	}
	dev, err := os.OpenFile("/dev/loop"+strconv.Itoa(n), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot use a loop device: %w", ErrUnavailable, err)
	}
	c := unix.LoopConfig{Fd: uint32(f.Fd())}
	c.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	err = unix.IoctlLoopConfigure(int(dev.Fd()), &c)
	switch {
	case err == nil:
		return dev, nil
	case errors.Is(err, unix.EBUSY):
		dev.Close()
		return nil, err
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY):
		err = fmt.Errorf("%w: cannot set up %s: %w; it takes Linux 5.8 or later", ErrUnavailable, dev.Name(), err)
	default:
		err = fmt.Errorf("%w: cannot set up %s: %w", ErrUnavailable, dev.Name(), err)
	}
	dev.Close()
	return nil, err
}

// attached finds the device that has the file already, nil when none has, and keeps it from
// detaching itself. There is one after an unmount while a process still looks into the file
// system, or is in a mount namespace that was copied while it was mounted here. Two devices
// for one image, which know nothing of each other, would destroy what is in it; one that
// is mounted again shows the same file system.
func attached(f *os.File) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("cannot mount %s: %w", f.Name(), err)
	}
	// Only a device that is set up has this directory.
	set, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return nil, err
	}
	for _, dir := range set {
		name := filepath.Join("/dev", filepath.Base(filepath.Dir(dir)))
		dev, err := os.OpenFile(name, os.O_RDONLY, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) {
			continue // gone, or detached meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("%w: cannot look at %s: %w", ErrUnavailable, name, err)
		}
		info, err := unix.IoctlLoopGetStatus64(int(dev.Fd()))
		if err == nil && info.Device == st.Dev && info.Inode == st.Ino {
			return dev, nil
		}
		dev.Close() // an error is ENXIO: it is being detached, and its file system is no more
	}
	return nil, nil
}
