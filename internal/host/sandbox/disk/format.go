package disk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// reserve is how much of a file system is root's, which in a sandbox is sandbox-init's and
// the storage process's: in bytes. They have to write when the workload has left nothing.
//
// A tenth is what the cold path's cache takes by default, in which the workload's writes
// arrive as root's; the rest is for the journals, some 200 bytes for each file of the home.
func reserve(size int64) int64 {
	return size/10 + min(max(size/40, 4<<20), 64<<20)
}

// bytesPerInode is half of mke2fs's own: a home has node_modules and virtual environments in it.
const bytesPerInode = 8192

// format makes a file system in an image, in the time that a few writes take: what can be
// left zero is not written.
func format(ctx context.Context, image string, size int64) error {
	mkfs, err := findMkfs()
	if err != nil {
		return err
	}
	percent := strconv.FormatFloat(100*float64(reserve(size))/float64(size), 'f', 4, 64)
	cmd := exec.CommandContext(ctx, mkfs, "-q", "-F", "-b", "4096", "-I", "256", "-i", strconv.Itoa(bytesPerInode), "-m", percent,
		"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0", image)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make a file system in %s: %s: %w: %s", image, mkfs, err, bytes.TrimSpace(out))
	}
	return nil
}

// findMkfs looks where an operator's PATH may not lead.
func findMkfs() (string, error) {
	const name = "mkfs.ext4"
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is no %s; install the package e2fsprogs", ErrUnavailable, name)
}
