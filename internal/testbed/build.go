package testbed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

var builds sync.Map // package path: func() (string, error)

// binaryDir names, when it is set, a directory of commands that are built already: "sandbox"
// there is used in place of building cmd/sandbox.
const binaryDir = "TESTBED_BIN"

// Binary builds a command of this module, "cmd/sandbox", and gives its path. The go tool
// decides whether there is anything to do; test processes that run at a time take turns.
func Binary(t testing.TB, command string) string {
	t.Helper()
	once, _ := builds.LoadOrStore(command, sync.OnceValues(func() (string, error) { return build(command) }))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Root is the directory of the module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

func build(command string) (string, error) {
	if dir := os.Getenv(binaryDir); dir != "" {
		path := filepath.Join(dir, filepath.Base(command))
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	// In the checkout: two checkouts of one user do not build for each other, and a test run
	// leaves nothing in the directory for temporary files.
	dir := filepath.Join(Root(), ".cache", "testbed")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, filepath.Base(command)+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("cannot lock %s: %w", lock.Name(), err)
	}
	name := filepath.Base(command)
	target := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-o", target, "./"+command)
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %s: %w\n%s(%s=DIR names a directory in which it is built already)", command, err, out, binaryDir)
	}
	// The go tool writes into the file that is there, which fails while it runs. So what
	// runs is a copy, named for the version.
	st, err := os.Stat(target)
	if err != nil {
		return "", err
	}
	copied := fmt.Sprintf("%s-%x-%x", target, st.ModTime().UnixNano(), st.Size())
	if _, err := os.Stat(copied); err == nil {
		return copied, nil
	}
	forget(target+"-*", time.Hour)
	return copied, copyFile(target, copied)
}

// forget removes the copies of earlier versions that no test is about to start any more.
func forget(pattern string, age time.Duration) {
	old, _ := filepath.Glob(pattern)
	for _, f := range old {
		if st, err := os.Stat(f); err == nil && time.Since(st.ModTime()) > age {
			_ = os.Remove(f)
		}
	}
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	part := to + ".part"
	dst, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err := errors.Join(err, dst.Close()); err != nil {
		return err
	}
	return os.Rename(part, to)
}
