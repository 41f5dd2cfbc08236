package unixhttp

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// serve answers on a socket with its own name until the test ends or stop is called.
func serve(t *testing.T, path, name string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, name+" "+r.Host)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return func() { s.Close() }
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTransportReachesTheSocketWhateverTheHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, "first")
	tr := Transport(path)
	defer tr.CloseIdleConnections()
	if got := get(t, &http.Client{Transport: tr}, "http://anything.example:99/"); got != "first anything.example:99" {
		t.Errorf("got %q", got)
	}
}

func TestOneShotReachesTheServerThatIsThereNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c := &http.Client{Transport: OneShot(path)}
	for _, name := range []string{"first", "second"} {
		stop := serve(t, path, name)
		if got := get(t, c, "http://s/"); got != name+" s" {
			t.Errorf("got %q, want %s", got, name)
		}
		stop()
	}
}

func TestPathIsThatOfAUnixEndpoint(t *testing.T) {
	if p, ok := Path("unix:///run/s.sock"); p != "/run/s.sock" || !ok {
		t.Errorf("got %q %v", p, ok)
	}
	if _, ok := Path("https://s3.example.com"); ok {
		t.Error("an HTTPS endpoint is no socket")
	}
}
