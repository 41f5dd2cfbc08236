package portforward

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/matrx/sandbox/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// freePort is one without a listener.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// host is the other side: it answers each connection with what it was sent.
func host(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "proxy.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			if first, _ := r.Peek(7); string(first) == "CONNECT" {
				req, err := http.ReadRequest(r)
				if err != nil || req.Host != "db:5432" {
					io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
					c.Close()
					continue
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nto db: ")
			}
			io.Copy(c, r)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return socket
}

func ask(t *testing.T, port uint16, text string) string {
	t.Helper()
	c, err := net.Dial("tcp4", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, text)
	c.(*net.TCPConn).CloseWrite()
	b, _ := io.ReadAll(c)
	return string(b)
}

func TestTunnel(t *testing.T) {
	db, other := freePort(t), freePort(t)
	tun, err := Open(config.Proxy{Socket: host(t), Forwards: []config.Forward{{Port: db, To: "db:5432"}, {Port: other, To: "other:1"}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer tun.Close()
	if got := ask(t, config.ProxyPort, "GET http://x/"); got != "GET http://x/" {
		t.Errorf("the proxy gets %q", got)
	}
	if got := ask(t, db, "query"); got != "to db: query" {
		t.Errorf("the database gets %q", got)
	}
	if got := ask(t, other, "query"); got != "" {
		t.Errorf("what is refused says %q", got)
	}
	// An open connection does not keep it from ending.
	c, err := net.Dial("tcp4", "127.0.0.1:3128")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() }) // after the tunnel's
	io.WriteString(c, "a request")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // it is joined
		t.Fatal(err)
	}
}

func TestNoTunnel(t *testing.T) {
	tun, err := Open(config.Proxy{}, slog.New(slog.DiscardHandler))
	if err != nil || len(tun.listeners) != 0 {
		t.Fatal(tun, err)
	}
	tun.Close()
}

func TestAPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Open(config.Proxy{Socket: "/x", Forwards: []config.Forward{{Port: uint16(l.Addr().(*net.TCPAddr).Port), To: "a:1"}}}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a port that is taken is no error")
	}
}
