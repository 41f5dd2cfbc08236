package s3server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// serve runs a server until stop is called or the test ends. The gateway is one a
// process, so no test here runs in parallel.
func serve(t *testing.T, o Options) (Info, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan Info, 1)
	o.Ready = func(i Info) { ready <- i }
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, o) }()
	stopped := false
	stop := func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	}
	select {
	case i := <-ready:
		t.Cleanup(stop)
		return i, stop
	case err := <-done:
		t.Fatalf("Serve ended before it was ready: %v", err)
	}
	return Info{}, nil
}

// send signs and sends one request and gives status and body.
func send(t *testing.T, i Info, method, path, body string, header ...string) (int, string) {
	t.Helper()
	endpoint, client := i.client()
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	creds := aws.Credentials{AccessKeyID: i.AccessKey, SecretAccessKey: i.SecretKey}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // S3 signs the path as it is sent
	if err := signer.SignHTTP(t.Context(), creds, req, "UNSIGNED-PAYLOAD", "s3", i.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestServesOnEveryAddressInOrder(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s3.sock")
	info, _ := serve(t, Options{
		Data:    filepath.Join(dir, "data"),
		Listen:  []string{"localhost:0", "unix://" + socket, "127.0.0.1:0"},
		Buckets: []string{"one", "two"},
	})
	if len(info.Endpoints) != 3 || info.Endpoints[1] != "unix://"+socket || info.Endpoints[0] == info.Endpoints[2] {
		t.Fatalf("endpoints are %q", info.Endpoints)
	}
	for _, e := range info.Endpoints {
		i := info
		i.Endpoints = []string{e}
		if code, body := send(t, i, "HEAD", "/two", ""); code != 200 {
			t.Errorf("%s: HEAD /two gives %d %s", e, code, body)
		}
	}
	if fi, err := os.Stat(socket); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v; others could open it", fi.Mode(), err)
	}
}

func TestKeepsObjectsAndBucketsOverARestart(t *testing.T) {
	dir := t.TempDir()
	o := Options{Data: dir, Listen: []string{"127.0.0.1:0"}, Buckets: []string{"bucket"}, AccessKey: "k", SecretKey: "s"}
	info, stop := serve(t, o)
	if code, body := send(t, info, "PUT", "/bucket/a/b", "content", "X-Amz-Meta-File-Mtime", "12ns"); code != 200 {
		t.Fatalf("PUT gives %d %s", code, body)
	}
	stop()
	info, _ = serve(t, o) // makes the bucket again: no error
	if code, body := send(t, info, "GET", "/bucket/a/b", ""); code != 200 || body != "content" {
		t.Fatalf("GET after the restart gives %d %q", code, body)
	}
}

// The fencing of a workspace rests on these conditions: the server must honour them.
func TestHonoursConditions(t *testing.T) {
	info, _ := serve(t, Options{Data: t.TempDir(), Listen: []string{"127.0.0.1:0"}, Buckets: []string{"bucket"}})
	if code, _ := send(t, info, "PUT", "/bucket/k", "1", "If-None-Match", "*"); code != 200 {
		t.Fatalf("the first PUT gives %d", code)
	}
	for _, tc := range []struct{ method, header, value string }{
		{"PUT", "If-None-Match", "*"},
		{"PUT", "If-Match", `"0123456789abcdef0123456789abcdef"`},
		{"DELETE", "If-Match", `"0123456789abcdef0123456789abcdef"`},
		{"GET", "If-Match", `"0123456789abcdef0123456789abcdef"`},
	} {
		if code, body := send(t, info, tc.method, "/bucket/k", "2", tc.header, tc.value); code != http.StatusPreconditionFailed {
			t.Errorf("%s with %s: %s gives %d %s", tc.method, tc.header, tc.value, code, body)
		}
	}
}

func TestRefusesWrongCredentials(t *testing.T) {
	info, _ := serve(t, Options{Data: t.TempDir(), Listen: []string{"127.0.0.1:0"}, Buckets: []string{"bucket"}})
	info.SecretKey += "x"
	if code, _ := send(t, info, "GET", "/bucket?list-type=2", ""); code != http.StatusForbidden {
		t.Fatalf("a request with another secret gives %d", code)
	}
}

func TestRefusesWhatItCannotServe(t *testing.T) {
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	held := filepath.Join(dir, "held")
	if err := os.Mkdir(held, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := lockData(held)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	any := []string{"127.0.0.1:0"}
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"no address":       {Options{Data: dir}, "no address"},
		"no data":          {Options{Listen: any}, "no data directory"},
		"half an account":  {Options{Data: dir, Listen: any, AccessKey: "k"}, "come together"},
		"data is a file":   {Options{Data: file, Listen: any}, "not a directory"},
		"data in use":      {Options{Data: held, Listen: any}, errInUse.Error()},
		"port in use":      {Options{Data: filepath.Join(dir, "a"), Listen: []string{busy.Addr().String()}}, "address already in use"},
		"no port":          {Options{Data: filepath.Join(dir, "b"), Listen: []string{"127.0.0.1"}}, "HOST:PORT"},
		"long socket path": {Options{Data: filepath.Join(dir, "c"), Listen: []string{"unix:///tmp/" + strings.Repeat("x", 110)}}, "at most 107 bytes"},
		"colon in path":    {Options{Data: filepath.Join(dir, "d"), Listen: []string{"unix://" + dir + "/a:b"}}, "colon"},
		"not a socket":     {Options{Data: filepath.Join(dir, "e"), Listen: []string{"unix://" + file}}, "not a socket"},
		"bucket's name":    {Options{Data: filepath.Join(dir, "f"), Listen: any, Buckets: []string{"A"}}, `bucket "A"`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tc.o.Ready = func(Info) { cancel() }
			err := Serve(ctx, tc.o)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Serve gives %v, want an error with %q", err, tc.want)
			}
			if name == "data in use" && !errors.Is(err, errInUse) {
				t.Errorf("%v is not ErrInUse", err)
			}
		})
	}
}

func TestCredentialsAreRandom(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		a, s := newCredentials()
		if len(a) != 20 || len(s) != 40 || seen[a] || seen[s] {
			t.Fatalf("credentials %q %q", a, s)
		}
		seen[a], seen[s] = true, true
	}
}

// A rename in a workspace may be a copy and a delete. The destination's condition is not
// honoured by this server, which is why storage probes for it.
func TestCopies(t *testing.T) {
	info, _ := serve(t, Options{Data: t.TempDir(), Listen: []string{"127.0.0.1:0"}, Buckets: []string{"bucket"}})
	if code, _ := send(t, info, "PUT", "/bucket/a", "content"); code != 200 {
		t.Fatalf("PUT gives %d", code)
	}
	if code, body := send(t, info, "PUT", "/bucket/b", "", "X-Amz-Copy-Source", "/bucket/a", "If-None-Match", "*"); code != 200 {
		t.Errorf("the copy gives %d %s", code, body)
	}
	if code, body := send(t, info, "GET", "/bucket/b", ""); code != 200 || body != "content" {
		t.Errorf("the copy holds %q (%d)", body, code)
	}
	if code, _ := send(t, info, "PUT", "/bucket/c", "", "X-Amz-Copy-Source", "/bucket/a", "X-Amz-Copy-Source-If-Match", `"0123456789abcdef0123456789abcdef"`); code != http.StatusPreconditionFailed {
		t.Errorf("a copy of another version gives %d", code)
	}
}

// A client that is in the middle of a download must not lose it to a stop.
func TestStopLetsRequestsEnd(t *testing.T) {
	info, stop := serve(t, Options{Data: t.TempDir(), Listen: []string{"127.0.0.1:0"}, Buckets: []string{"bucket"}})
	const size = 8 << 20
	if code, _ := send(t, info, "PUT", "/bucket/k", strings.Repeat("x", size)); code != 200 {
		t.Fatalf("PUT gives %d", code)
	}
	addr := strings.TrimPrefix(info.Endpoints[0], "http://")
	req, _ := http.NewRequest("GET", info.Endpoints[0]+"/bucket/k", nil)
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	creds := aws.Credentials{AccessKeyID: info.AccessKey, SecretAccessKey: info.SecretKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, "UNSIGNED-PAYLOAD", "s3", info.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	rest, err := io.Copy(io.Discard, io.LimitReader(conn, size))
	if err != nil || rest != size {
		t.Errorf("after the stop came %d bytes of the answer, %v", rest, err)
	}
	conn.Close()
	<-stopped
}
