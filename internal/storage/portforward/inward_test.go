package portforward

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func openInward(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forward.sock")
	in, err := OpenInward(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if _, err := os.Lstat(path); err == nil {
			t.Error("the socket outlives it")
		}
	})
	return path
}

// echo is a server that answers when all has been said, as a half-closed connection allows.
func echo(t *testing.T, network, address string) (port int) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				b, _ := io.ReadAll(c)
				c.Write(b)
			})
		}
	})
	t.Cleanup(func() { l.Close(); work.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}

// through asks for host:port and sends text in the same breath; it gives the answer's
// status and what followed.
func through(t *testing.T, path, request string, text []byte) (int, []byte) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		c.Write(append([]byte(request), text...))
		c.(*net.UnixConn).CloseWrite()
	}()
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, b
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, b
}

func connectTo(host string) string {
	return "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
}

func TestInwardReachesBothLoopbacks(t *testing.T) {
	path := openInward(t)
	sent := make([]byte, 3<<20)
	rand.Read(sent)
	for _, tc := range []struct{ network, address string }{{"tcp4", "127.0.0.1:0"}, {"tcp6", "[::1]:0"}} {
		port := echo(t, tc.network, tc.address)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if status, got := through(t, path, connectTo(fmt.Sprintf("localhost:%d", port)), sent); status != http.StatusOK || !bytes.Equal(got, sent) {
					t.Errorf("%s: status %d, %d bytes", tc.address, status, len(got))
				}
			})
		}
		all.Wait()
	}
}

// What is not a port of the sandbox's own loopback is not dialled.
func TestInwardRefuses(t *testing.T) {
	path := openInward(t)
	port := echo(t, "tcp4", "127.0.0.1:0")
	for request, want := range map[string]string{
		connectTo(fmt.Sprintf("localhost:%d", freePort(t))):               "502 nothing listens on port",
		connectTo(fmt.Sprintf("127.0.0.1:%d", port)):                      "400 what can be asked for is CONNECT localhost:PORT",
		connectTo("example.com:80"):                                       "400 what can be",
		connectTo("localhost:0"):                                          "400 what can be",
		connectTo("localhost:70000"):                                      "400 what can be",
		fmt.Sprintf("GET / HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", port): "400 what can be",
		"SSH-2.0-x\r\n\r\n":                                               "400 this is no request",
		"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\nX: " + strings.Repeat("x", 3<<20): "400 this is no request",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second)) // what is not refused waits
		var sent sync.WaitGroup
		sent.Go(func() { io.WriteString(c, request) })
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			// More was sent than is read: the connection is cut, and that is an answer too.
			if len(request) < 1<<20 {
				t.Errorf("%.40q: %v", request, err)
			}
			c.Close()
			sent.Wait()
			continue
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := fmt.Sprintf("%d %s", res.StatusCode, b); !strings.HasPrefix(got, want) {
			t.Errorf("%.40q: %s, want %s", request, got, want)
		}
		c.Close()
		sent.Wait()
	}
}

// A socket that a killed process has left is replaced, and open connections end with Close.
func TestInwardReplacesWhatWasLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward.sock")
	for _, p := range []string{path, path + ".new"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	in, err := OpenInward(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("the socket is %v, %v", st, err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port := echo(t, "tcp4", "127.0.0.1:0")
	io.WriteString(c, connectTo(fmt.Sprintf("localhost:%d", port)))
	if res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect}); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	in.Close() // with the connection under way
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes after its end", n)
	}
}

func TestNoInward(t *testing.T) {
	in, err := OpenInward("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	if _, err := OpenInward(filepath.Join(t.TempDir(), "none", "forward.sock"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a directory that there is not is no error")
	}
}
