package tree

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// asRoot runs a program that takes root.
func asRoot(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s; it takes root, loop devices and e2fsprogs", name, args, err, out)
	}
}

// mountImage mounts a file with a file system in it until the test ends, and opens it.
func mountImage(t *testing.T, image string) *Root {
	t.Helper()
	at := t.TempDir()
	asRoot(t, "mount", "-o", "loop", image, at)
	t.Cleanup(func() { asRoot(t, "umount", at) })
	r, err := Open(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func makeImage(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		err = f.Truncate(4 << 20)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	asRoot(t, "mkfs.ext4", "-q", "-F", path)
}

// A file system is known again on another device, and another one is not taken for it.
func TestAFileSystemIsKnownAgain(t *testing.T) {
	dir := t.TempDir()
	one, same, other := filepath.Join(dir, "one"), filepath.Join(dir, "same"), filepath.Join(dir, "other")
	makeImage(t, one)
	asRoot(t, "cp", one, same) // so that both have a device at the same time
	makeImage(t, other)
	type seen struct{ system, device uint64 }
	look := func(image string) (s seen) {
		r := mountImage(t, image)
		id, err := r.Identity()
		if err == nil {
			s.device = id.Dev
			s.system, err = r.FileSystem()
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, again, not := look(one), look(same), look(other)
	if first.device == again.device || first.system == 0 || first.system != again.system {
		t.Errorf("it is %#x, and on another device %#x", first, again)
	}
	if not.system == first.system {
		t.Errorf("two of them are %#x", not)
	}
}
