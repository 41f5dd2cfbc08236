package harness

import (
	"fmt"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

// Main runs the tests of a package. It begins with no signal ignored for those that are started
// here, also when the process that started the tests ignores some: nohup SIGHUP, a shell without job control the SIGINT
// of what it starts in the background. (A signal that a Go program handles is at its default in a
// child.) In the end it removes the image that the tests have made for themselves.
func Main(m *testing.M) {
	for n := unix.Signal(1); n < 65; n++ {
		if signal.Ignored(n) {
			signal.Notify(make(chan os.Signal, 1), n)
		}
	}
	code := m.Run()
	if err := removeFakeinit(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
