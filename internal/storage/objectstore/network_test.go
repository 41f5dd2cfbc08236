package objectstore

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

var someKeys = map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A name that does not exist is said at once, with the variable to set; once the store has answered it is
// an outage of the resolver.
func TestNameThatDoesNotExistIsNotAwaited(t *testing.T) {
	s := open(t, config.S3{Bucket: "bbb", Endpoint: "https://s3.example.org"}, wire.Credentials{Env: someKeys})
	s.transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true}}
	})
	err := s.Check(t.Context(), "")
	wantKind(t, err, ErrEndpoint, "S3_ENDPOINT", "S3_FORCE_PATH_STYLE=1", "bbb.s3.example.org")
	var e *Error
	if errors.As(err, &e) && e.Attempts != fewAttempts {
		t.Errorf("%d attempts", e.Attempts)
	}
	s.answered.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	wantKind(t, s.Check(ctx, ""), ErrUnavailable)
}

func TestAuthorityOfTheBundleIsTrusted(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(listing("", "")))
	}))
	defer srv.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	with := map[string]string{"AWS_CA_BUNDLE": bundle}
	for k, v := range someKeys {
		with[k] = v
	}
	c := config.S3{Bucket: "bbb", Endpoint: srv.URL}
	if err := open(t, c, wire.Credentials{Env: with}).Check(t.Context(), ""); err != nil {
		t.Error(err)
	}
	wantKind(t, open(t, c, wire.Credentials{Env: someKeys}).Check(t.Context(), ""), ErrEndpoint, "AWS_CA_BUNDLE")
	with["AWS_CA_BUNDLE"] = "/nonexistent"
	if _, err := Open(t.Context(), Options{S3: c, Credentials: wire.Credentials{Env: with}}); err == nil || !strings.Contains(err.Error(), "AWS_CA_BUNDLE") {
		t.Errorf("Open = %v", err)
	}
}

const proxyChild = "OBJECTSTORE_TEST_PROXY_CHILD"

// askThroughProxy is a process of its own: net/http reads the environment once.
func askThroughProxy() {
	s, err := Open(context.Background(), Options{S3: config.S3{Bucket: "bbb", Endpoint: "https://s3.example.org"}, Credentials: wire.Credentials{Env: someKeys}})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = s.Check(ctx, "") // the proxy refuses
}

func TestRequestsGoThroughTheProxyOfTheEnvironment(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		asked <- line
	}()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), proxyChild+"=1", "HTTPS_PROXY=http://"+l.Addr().String(), "NO_PROXY=")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	select {
	case line := <-asked:
		if !strings.HasPrefix(line, "CONNECT bbb.s3.example.org:443 ") {
			t.Errorf("the proxy was asked %q", line)
		}
	case <-time.After(30 * time.Second):
		t.Error("the proxy was not asked")
	}
}
