package e2e

import (
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain begins with no signal ignored for those that are started here, whatever who
// started the tests has ignored: nohup SIGHUP, a shell without job control the SIGINT of what it starts
// in the background. (A signal that a Go program handles is at its default in a child.)
func TestMain(m *testing.M) {
	for n := unix.Signal(1); n < 65; n++ {
		if signal.Ignored(n) {
			signal.Notify(make(chan os.Signal, 1), n)
		}
	}
	os.Exit(m.Run())
}
