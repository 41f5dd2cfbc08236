package control

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// asUser asks the socket at path for its status as another user. Credentials are a
// thread's own: SO_PEERCRED shows what the one that connects has (credentials(7)).
func asUser(t *testing.T, uid int, path string) error {
	t.Helper()
	if unix.Geteuid() != 0 {
		t.Fatal("run this test as root: it takes another user's place")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- func() error {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
				return errno
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			// The directory of the test is root's alone.
			_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 0, ^uintptr(0))
			if errno != 0 {
				return errno
			}
			return request(fd, uid, path)
		}()
	}()
	return <-done
}

func request(fd, uid int, path string) error {
	// SO_PEERCRED is taken at connect(2): the effective user then.
	dir, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
		return errno
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d", dir)}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if _, err := unix.Write(fd, []byte("GET /v1/status HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 12)
	n, err := unix.Read(fd, answer)
	if err != nil || string(answer[:n]) != "HTTP/1.0 200" {
		return fmt.Errorf("answer %q, %w", answer[:n], err)
	}
	return nil
}
