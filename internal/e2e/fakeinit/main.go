// Command fakeinit stands in for an image's sandbox-init in the tests of `sandbox run`: it
// goes through the same states, keeps one file of the home in S3 and does on demand
// what the real one never should. It is PID 1 of an image with nothing else in it.
//
//	echo TEXT, warn TEXT   to stdout, to stderr
//	exit N                 end with a code
//	write TEXT, read       the file that is kept
//	cat                    stdin to stdout
//	idle                   until stopped
//	flood                  to stdout until it is closed or stopped
//	deaf                   until stopped; the drain ends with the second SIGTERM alone
//	unsaved                ends, and cannot save
//	tty                    says the terminal's size, and each new one, until a line comes
//	rights                 says its UID, capabilities and no_new_privs
//	look PATH...           says mode and owner of paths
//	env                    says its environment
//	ask METHOD KEY         says what the storage socket answers
//	calls                  says what system calls and sockets are denied
package main

import (
	"bufio"
	"errors"

	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

func main() {
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "find" { // find DIR -mindepth 1 -delete
		os.Exit(failed(empty(args[0])))
	}
	if len(args) > 0 && args[0] == "do" { // exec'd into a running one
		os.Exit(perform(args[1:], nil))
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	os.Exit(live(args))
}

// perform does what is asked and returns its exit code; stopped ends it early.
func perform(args []string, stopped <-chan struct{}) int {
	if len(args) == 0 {
		args = []string{"idle"}
	}
	text := strings.Join(args[1:], " ")
	switch args[0] {
	case "true":
	case "echo":
		fmt.Println(text)
	case "warn":
		fmt.Fprintln(os.Stderr, text)
	case "exit":
		n, _ := strconv.Atoi(text)
		return n
	case "write":
		return failed(os.WriteFile(keptFile, []byte(text), 0o644))
	case "read":
		b, err := os.ReadFile(keptFile)
		fmt.Printf("%s\n", b)
		return failed(err)
	case "cat":
		n, err := io.Copy(os.Stdout, os.Stdin)
		fmt.Printf("(%d bytes)\n", n)
		return failed(err)
	case "idle", "deaf":
		fmt.Println(args[0])
		<-stopped
		return 128 + int(syscall.SIGTERM)
	case "flood":
		go func() { // whose reader may not read
			for {
				fmt.Println("y")
			}
		}()
		<-stopped
		return 128 + int(syscall.SIGTERM)
	case "stubborn": // never ends
		fmt.Println(args[0])
		select {}
	case "signals":
		return signals(stopped)
	case "tty":
		return tty()
	case "rights":
		rights()
	case "look":
		for _, path := range args[1:] {
			look(path)
		}
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "ask":
		code, body, err := ask(args[1], args[2], "")
		fmt.Println(code, body)
		return failed(err)
	case "calls":
		calls()
	case "unsaved":
	default:
		fmt.Fprintln(os.Stderr, "fakeinit: unknown", args)
		return 127
	}
	return 0
}

// signals names each signal that comes, until it is told to end.
func signals(stopped <-chan struct{}) int {
	got := make(chan os.Signal, 8)
	all := []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGINT, syscall.SIGHUP}
	if stopped == nil { // not PID 1, which has its own use for it
		all = append(all, syscall.SIGTERM)
	}
	signal.Notify(got, all...)
	fmt.Println("signals")
	for {
		select {
		case sig := <-got:
			fmt.Println("got", unix.SignalName(sig.(syscall.Signal)))
			if sig == syscall.SIGTERM {
				return 9
			}
		case <-stopped:
			return 128 + int(syscall.SIGTERM)
		}
	}
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func failed(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "fakeinit:", err)
	return 1
}

func tty() int {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	line := make(chan string)
	go func() {
		text, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		line <- strings.TrimSpace(text)
	}()
	for {
		w, h, err := term.GetSize(0)
		fmt.Println("size", w, h, err)
		select {
		case <-changed:
		case text := <-line:
			fmt.Println("line", text)
			return 0
		}
	}
}

func rights() {
	b, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(b)) {
		for _, name := range []string{"Uid:", "CapBnd:", "CapEff:", "NoNewPrivs:"} {
			if strings.HasPrefix(l, name) {
				fmt.Print(strings.ReplaceAll(l, "\t", " "))
			}
		}
	}
}

func look(path string) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		fmt.Println(path, err)
		return
	}
	fmt.Printf("%s %o uid %d\n", path, st.Mode, st.Uid)
}
