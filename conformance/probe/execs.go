package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// lines prints lines that tell where they are, so that a part of the output shows which part it is.
func lines(args []string) (int, error) {
	text, err := first(args, "N")
	if err != nil {
		return 2, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 2, err
	}
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for line := 0; ; {
		if _, err := in.ReadByte(); errors.Is(err, io.EOF) {
			return 0, nil
		} else if err != nil {
			return 1, err
		}
		for range n {
			fmt.Fprintf(out, "%07d\n", line)
			line++
		}
		if err := out.Flush(); err != nil {
			return 1, err
		}
	}
}

func cat([]string) (int, error) {
	_, err := io.Copy(os.Stdout, os.Stdin)
	return 0, err
}

func terminal([]string) (int, error) {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGWINCH, syscall.SIGINT)
	for {
		size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			return 1, fmt.Errorf("standard input is no terminal: %w", err)
		}
		fmt.Printf("size %d %d\n", size.Row, size.Col)
		if s := <-c; s == syscall.SIGINT {
			return 3, nil
		}
	}
}

// scatter starts a child in a session of its own, which starts another in one more and ends: what it leaves
// descends of this process, and nothing of the kernel's says so.
func scatter(args []string) (int, error) {
	path, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	apart := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/proc/self/exe", args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return cmd
	}
	if len(args) > 1 { // the child
		return 0, apart("stay", path).Start()
	}
	if err := apart("scatter", path, "child").Run(); err != nil {
		return 1, err
	}
	return idle(nil)
}

func stay(args []string) (int, error) {
	path, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	if err := publish(path, os.Getpid()); err != nil {
		return 1, err
	}
	for {
		_ = unix.Pause()
	}
}

// publish writes a number into a file that has all of it from the beginning on.
func publish(path string, n int) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temp, []byte(strconv.Itoa(n)), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func echo(args []string) (int, error) {
	path, err := first(args, "PATH")
	if err != nil {
		return 2, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1, err
	}
	if err := publish(path, l.Addr().(*net.TCPAddr).Port); err != nil {
		return 1, err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return 1, err
		}
		if came, err := io.ReadAll(c); err == nil {
			_, _ = c.Write(came)
		}
		c.Close()
	}
}

func kill(args []string) (int, error) {
	if len(args) != 2 {
		return 2, errors.New("kill PID N")
	}
	pid, err := strconv.Atoi(args[0])
	sig, serr := strconv.Atoi(args[1])
	if err := errors.Join(err, serr); err != nil {
		return 2, err
	}
	return 0, syscall.Kill(pid, syscall.Signal(sig))
}
