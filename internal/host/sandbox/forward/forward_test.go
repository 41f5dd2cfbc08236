package forward

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParsePort(t *testing.T) {
	for text, want := range map[string]string{
		"8080":                "127.0.0.1 8080 8080",
		"8080:0":              "127.0.0.1 8080 0",
		"8080:80":             "127.0.0.1 8080 80",
		"0.0.0.0:8080":        "0.0.0.0 8080 8080",
		"localhost:8080:9090": "127.0.0.1 8080 9090",
		"[::1]:8080:80":       "::1 8080 80",
	} {
		p, err := ParsePort(text)
		if got := fmt.Sprint(p.Address, p.Port, p.Local); err != nil || strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "65536", "-1", "8080:", "8080:65536", "x", "x:80", "1.2.3:80", "::1:80", "[::1]80", "[x]:80", "80:80:80", "127.0.0.1:", "99999:80"} {
		if p, err := ParsePort(text); err == nil || !strings.Contains(err.Error(), "[ADDRESS:]PORT[:LOCALPORT]") {
			t.Errorf("%q is %+v, %v", text, p, err)
		}
	}
}

// told collects what is said.
type told struct {
	mu     sync.Mutex
	listen []Listening
	said   []string
}

func (t *told) Listening(l Listening) { t.mu.Lock(); t.listen = append(t.listen, l); t.mu.Unlock() }
func (t *told) Say(format string, args ...any) {
	t.mu.Lock()
	t.said = append(t.said, fmt.Sprintf(format, args...))
	t.mu.Unlock()
}

func (t *told) all() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.said, "\n")
}

// sandbox is the other end: answer decides what it says to a request for a port, and it
// is an echo from then on when that is a 200.
func sandbox(t *testing.T, answer func(request string) string) func(context.Context) (net.Conn, error) {
	t.Helper()
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	return func(context.Context) (net.Conn, error) {
		here, there := socketPair(t)
		work.Go(func() {
			defer there.Close()
			r := bufio.NewReader(there)
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			a := answer(req.Method + " " + req.Host)
			io.WriteString(there, a)
			if strings.HasPrefix(a, "HTTP/1.1 200") {
				b, _ := io.ReadAll(r)
				there.Write(b)
			}
		})
		return here, nil
	}
}

// socketPair is two ends of a connection that can be half closed.
func socketPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func open(t *testing.T, dial func(context.Context) (net.Conn, error)) (*told, string) {
	t.Helper()
	tell := &told{}
	f := newForwarder(dial, tell)
	t.Cleanup(f.close)
	if err := f.open("box", []Port{{Port: 8080, Address: loopback}}); err != nil {
		t.Fatal(err)
	}
	return tell, fmt.Sprintf("%s:%d", tell.listen[0].Address, tell.listen[0].Local)
}

func ask(t *testing.T, address string, text []byte) ([]byte, error) {
	t.Helper()
	c, err := net.Dial("tcp4", address)
	if err != nil {
		return nil, err // the reset was faster
	}
	defer c.Close()
	if len(text) > 0 { // a write of nothing would take the reset's error away from the read
		go func() {
			c.Write(text)
			c.(*net.TCPConn).CloseWrite()
		}()
	}
	return io.ReadAll(c)
}

const ok = "HTTP/1.1 200 OK\r\n\r\n"

func TestForward(t *testing.T) {
	tell, address := open(t, sandbox(t, func(request string) string {
		if request != "CONNECT localhost:8080" {
			t.Errorf("asked for %s", request)
		}
		return ok
	}))
	sent := make([]byte, 1<<20)
	rand.Read(sent)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if got, err := ask(t, address, sent); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
	if tell.all() != "" {
		t.Errorf("it says %s", tell.all())
	}
}

// A refusal is a reset, said once until it changes; what the sandbox says is shown as text.
func TestRefusals(t *testing.T) {
	var mu sync.Mutex
	answers := []string{}
	for _, why := range []string{"nothing there", "nothing there", "", "nothing there", "\x1b[2Jother"} {
		if why == "" {
			answers = append(answers, ok)
			continue
		}
		answers = append(answers, fmt.Sprintf("HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n%s", len(why), why))
	}
	tell, address := open(t, sandbox(t, func(string) string {
		mu.Lock()
		defer mu.Unlock()
		a := answers[0]
		answers = answers[1:]
		return a
	}))
	for i := range len(answers) {
		if i == 2 {
			if got, err := ask(t, address, []byte("x")); string(got) != "x" || err != nil {
				t.Errorf("what works gives %q, %v", got, err)
			}
			continue
		}
		// With nothing sent: what is closed with something unread is reset by itself.
		if got, err := ask(t, address, nil); err == nil {
			t.Errorf("connection %d is closed, not reset: %q", i, got)
		}
	}
	said := strings.Split(tell.all(), "\n")
	want := []string{"nothing there; conn", "nothing there; conn", "?[2Jother; conn"}
	if len(said) != len(want) {
		t.Fatalf("it says %q", said)
	}
	for i := range want {
		if !strings.HasPrefix(said[i], want[i]) {
			t.Errorf("it says %q, want %q", said[i], want[i])
		}
	}
}

// An answer that does not end is not read to its end.
func TestAnAnswerWithoutEnd(t *testing.T) {
	taken := make(chan int, 1)
	tell, address := open(t, func(context.Context) (net.Conn, error) {
		here, there := socketPair(t)
		go func() {
			defer there.Close()
			n, _ := io.WriteString(there, "HTTP/1.1 200 OK\r\n")
			for line := "X: " + strings.Repeat("x", 1000) + "\r\n"; n < 64<<20; {
				m, err := io.WriteString(there, line)
				if n += m; err != nil {
					break
				}
			}
			taken <- n
		}()
		return here, nil
	})
	if got, err := ask(t, address, nil); err == nil {
		t.Errorf("it is answered: %q", got)
	}
	if n := <-taken; n > 32<<20 || !strings.Contains(tell.all(), "does not answer") {
		t.Errorf("%d bytes of it were taken; it says %q", n, tell.all())
	}
}

func TestAPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := netip.MustParseAddrPort(l.Addr().String()).Port()
	tell := &told{}
	f := newForwarder(nil, tell)
	defer f.close()
	err = f.open("box", []Port{{Port: 1, Address: loopback}, {Port: taken, Address: loopback, Local: taken}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d:0 for any", taken)) || len(tell.listen) != 0 {
		t.Errorf("%v, listening on %v", err, tell.listen)
	}
	if _, err := (Port{Port: 1, Address: netip.MustParseAddr("240.0.0.1")}).listen(); err == nil || !strings.Contains(err.Error(), "does not have that address") {
		t.Errorf("an address that is not ours: %v", err)
	}
}
