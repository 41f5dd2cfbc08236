package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/matrx/sandbox/internal/host/hostd/s3server"
)

const bucket = "workspaces"

// embedded is the real embedded server, one for all tests: it is one a process. Its data
// directory is data in hostDir.
var (
	embedded s3server.Info
	hostDir  string
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gateway-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	hostDir = dir
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready, done := make(chan s3server.Info, 1), make(chan error, 1)
	go func() {
		done <- s3server.Serve(ctx, s3server.Options{
			Data: filepath.Join(dir, "data"), Listen: []string{"127.0.0.1:0"}, Buckets: []string{bucket, "other-bucket"},
			Ready: func(i s3server.Info) { ready <- i },
		})
	}()
	select {
	case embedded = <-ready:
	case err := <-done:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	cancel()
	if err := <-done; err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// upstream reaches the embedded server.
func upstream() Upstream {
	return Upstream{
		Bucket: bucket, Region: embedded.Region, Endpoint: embedded.Endpoints[0], PathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(embedded.AccessKey, embedded.SecretKey, ""),
	}
}

// door is one sandbox's gateway, served on loopback.
type door struct {
	*Gateway
	url    string
	prefix string
	s3     *s3.Client
}

func openDoor(t *testing.T, user string, o Options) *door {
	t.Helper()
	o.Scope = Scope{Bucket: bucket, Prefix: "users/" + user + "/"}
	if o.Upstream.Bucket == "" {
		o.Upstream = upstream()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := Serve(l, g)
	t.Cleanup(func() {
		if err := srv.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	url := "http://" + l.Addr().String()
	return &door{Gateway: g, url: url, prefix: o.Scope.Prefix, s3: client(url, "anything", "at-all")}
}

// client is the SDK's, signing with keys that the gateway does not know.
func client(url, access, secret string) *s3.Client {
	return s3.New(s3.Options{
		Region: "eu-west-3", BaseEndpoint: &url, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, "token"),
	})
}

// direct is the store without a gateway before it.
func direct() *s3.Client {
	return s3.New(s3.Options{
		Region: embedded.Region, BaseEndpoint: &embedded.Endpoints[0], UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(embedded.AccessKey, embedded.SecretKey, ""),
	})
}

// raw sends a request whose target is written as it is, with nothing cleaned or escaped. A Content-Length among the
// headers stands for the body's own.
func (d *door) raw(t *testing.T, method, target, body string, header ...string) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n", method, target)
	if !slices.Contains(header, "Content-Length") {
		header = append(slices.Clone(header), "Content-Length", strconv.Itoa(len(body)))
	}
	for n := 0; n < len(header); n += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[n], header[n+1])
	}
	b.WriteString("\r\n" + body)
	if _, err := conn.Write([]byte(b.String())); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, conn, method)
}

func put(t *testing.T, c *s3.Client, key, body string) {
	t.Helper()
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body)})
	if err != nil {
		t.Fatalf("cannot put %q: %v", key, err)
	}
}

// fake is a store that records what reaches it.
type fake struct {
	*httptest.Server
	got chan *http.Request
}

func newFake(t *testing.T, h http.HandlerFunc) *fake {
	f := &fake{got: make(chan *http.Request, 100)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h != nil {
			h(w, r)
		}
		f.got <- r
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) upstream() Upstream {
	u := upstream()
	u.Endpoint = f.URL
	return u
}
