package relay

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// pair is a connection's two ends.
func pair(t *testing.T) (here, there *net.UnixConn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.UnixConn), b.(*net.UnixConn)
}

// An end of one direction is passed on, and the other direction goes on.
func TestHalfClose(t *testing.T) {
	client, near := pair(t)
	server, far := pair(t)
	io.WriteString(server, "hello ") // read ahead with what came before it
	r := bufio.NewReader(far)
	if _, err := r.Peek(1); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); Both(near, far, r) }()
	io.WriteString(client, "question")
	client.CloseWrite()
	if got, err := io.ReadAll(server); err != nil || string(got) != "question" {
		t.Errorf("%q, %v", got, err)
	}
	io.WriteString(server, "answer")
	server.CloseWrite()
	if got, err := io.ReadAll(client); err != nil || string(got) != "hello answer" {
		t.Errorf("%q, %v", got, err)
	}
	<-done
}

// Where one side fails, the other does not wait.
func TestErrorEndsBoth(t *testing.T) {
	client, near := pair(t)
	server, far := pair(t)
	done := make(chan struct{})
	go func() { defer close(done); Both(near, far, far) }()
	server.Close()
	_, _ = io.Copy(client, strings.NewReader(strings.Repeat("x", 1<<20))) // fails as soon as far is known to be gone
	if _, err := io.ReadAll(client); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	<-done
}
