package egress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func rules(t *testing.T, texts ...string) (out []Rule) {
	t.Helper()
	for _, s := range texts {
		r, err := ParseRule(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestRules(t *testing.T) {
	for text, want := range map[string]map[string]trust{
		"Example.com.":         {"example.com:443": named, "EXAMPLE.com.:80": named, "example.com:22": nothing, "a.example.com:443": nothing, "xexample.com:443": nothing},
		"example.com:5432":     {"example.com:5432": named, "example.com:443": nothing},
		"*.example.com":        {"a.example.com:443": wildcard, "a.b.example.com:80": wildcard, "example.com:443": nothing, ".example.com:443": nothing, "xexample.com:443": nothing, "example.com.evil.net:443": nothing},
		"10.0.0.1:80":          {"10.0.0.1:80": literal, "10.0.0.2:80": nothing},
		"[::ffff:10.0.0.1]:80": {"10.0.0.1:80": literal, "[::ffff:a00:1]:80": literal},
		"[fd00::1]:81":         {"[FD00::1]:81": literal, "[fd00::1]:80": nothing},
	} {
		p := New(rules(t, text), slog.New(slog.DiscardHandler))
		for address, trust := range want {
			if got, _ := p.judge(address); got != trust {
				t.Errorf("%s with %s: %d, want %d", text, address, got, trust)
			}
		}
	}
	for _, wrong := range []string{"", "*", "*.", "a..b", "a.*.b", "**.a", "a:0", "a:b", "a:", "a:99999", "http://a", "a b", "a/b", "user@a", "*.1.2.3.4:x"} {
		if r, err := ParseRule(wrong); err == nil {
			t.Errorf("%q is %+v", wrong, r)
		}
	}
}

// proxied is a client behind a proxy on a unix socket.
func proxied(t *testing.T, allow ...string) (*Proxy, *http.Client, func() net.Conn) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	p := New(rules(t, allow...), slog.New(slog.DiscardHandler))
	s := Serve(l, p)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	dial := func() net.Conn {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	tr := &http.Transport{
		Proxy:       http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"}),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil },
	}
	t.Cleanup(tr.CloseIdleConnections)
	return p, &http.Client{Transport: tr}, dial
}

func TestPlainHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host+r.URL.Path) }))
	defer srv.Close()
	host := srv.Listener.Addr().String()
	p, c, dial := proxied(t, host)
	lying := dial()
	io.WriteString(lying, "GET "+srv.URL+"/y HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n")
	if b, _ := io.ReadAll(lying); !strings.HasSuffix(string(b), host+"/y") {
		t.Errorf("with another Host header: %q", b)
	}
	res, err := c.Get(srv.URL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); string(b) != host+"/x" {
		t.Errorf("%s %q", res.Status, b)
	}
	for _, refused := range []string{"http://example.com/", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/"} {
		res, err := c.Get(refused)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 403 || !strings.Contains(string(b), "--access allow=") {
			t.Errorf("%s: %s %q", refused, res.Status, b)
		}
	}
	if served, refused := p.Counts(); served != 2 || refused != 3 {
		t.Errorf("served %d, refused %d", served, refused)
	}
}

// held is a connection of the proxy's that is counted while it is open.
type held struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (h *held) Close() error {
	h.once.Do(func() { h.open.Add(-1) })
	return h.Conn.Close()
}

// A sandbox asks many hosts, each once: what the proxy keeps of them is bounded. An answer without a body comes after
// its connection was kept, so that nothing is awaited here.
func TestIdleConnectionsAreBounded(t *testing.T) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}
	go srv.Serve(l)
	defer srv.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var hosts []string
	for n := range mostIdle + 20 {
		hosts = append(hosts, fmt.Sprintf("127.0.0.%d:%s", n+1, port))
	}
	p, c, _ := proxied(t, hosts...)
	var open atomic.Int64
	upstream := p.plain.Transport.(*http.Transport)
	dial := upstream.DialContext
	upstream.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		open.Add(1)
		return &held{Conn: conn, open: &open}, nil
	}
	for _, host := range hosts {
		res, err := c.Get("http://" + host)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNoContent {
			t.Fatalf("%s: %s", host, res.Status)
		}
	}
	if n := open.Load(); n > mostIdle { // fewer, where a busy machine has the transport give one up
		t.Errorf("%d connections are open after %d hosts", n, len(hosts))
	}
}

// A name that is allowed and resolves to this machine reaches nothing of it.
func TestANameDoesNotReachTheHost(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	p, c, _ := proxied(t, "localhost:"+port)
	res, err := c.Get("http://localhost:" + port)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if _, refused := p.Counts(); res.StatusCode != 403 || !strings.Contains(string(b), "no name is allowed to reach") || refused != 1 {
		t.Errorf("%s %q, %d refused", res.Status, b, refused)
	}
}

func TestConnect(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "secret") }))
	defer srv.Close()
	p, c, dial := proxied(t, srv.Listener.Addr().String())
	c.Transport.(*http.Transport).TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig
	res, err := c.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); string(b) != "secret" {
		t.Errorf("%q", b)
	}
	res.Body.Close()
	for _, head := range []string{"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", "CONNECT 127.0.0.1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: " + srv.Listener.Addr().String() + "\r\n\r\n",
		// The host that counts is the one that is dialled.
		"CONNECT example.com:443 HTTP/1.1\r\nHost: " + srv.Listener.Addr().String() + "\r\n\r\n"} {
		conn := dial()
		io.WriteString(conn, head)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 403 {
			t.Errorf("%q: %v %v", head, res, err)
		}
	}
	if served, refused := p.Counts(); served != 1 || refused != 4 {
		t.Errorf("served %d, refused %d", served, refused)
	}
}

// The end of one direction is passed on, and the other goes on.
func TestConnectHalfClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b, _ := io.ReadAll(c)
		c.Write([]byte("got " + string(b)))
		c.Close()
	}()
	_, _, dial := proxied(t, l.Addr().String())
	c := dial()
	// Sent ahead of the answer: nothing of it is lost.
	io.WriteString(c, "CONNECT "+l.Addr().String()+" HTTP/1.1\r\nHost: x\r\n\r\nearly")
	r := bufio.NewReader(c)
	if res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect}); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	io.WriteString(c, " late")
	c.(*net.UnixConn).CloseWrite()
	if b, err := io.ReadAll(r); string(b) != "got early late" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
