package testbed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/matrx/sandbox/internal/unixhttp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServerKeepsItsDataAndAddress(t *testing.T) {
	srv := S3(t)
	b := srv.Bucket(t)
	b.Put("users/u/hot/a", "before", map[string]string{"file-mtime": "5ns"})
	endpoint, key := srv.Endpoint, srv.AccessKey
	srv.Kill()
	if _, err := b.SDK.ListBuckets(context.Background(), &s3.ListBucketsInput{}, func(o *s3.Options) { o.RetryMaxAttempts = 1 }); err == nil {
		t.Error("a killed server answers")
	}
	srv.Restart()
	if srv.Endpoint != endpoint || srv.AccessKey != key {
		t.Errorf("it came back as %s %s, and was %s %s", srv.Endpoint, srv.AccessKey, endpoint, key)
	}
	o, ok := b.Get("users/u/hot/a")
	if !ok || string(o.Body) != "before" || o.Metadata["file-mtime"] != "5ns" {
		t.Errorf("what came back: %v %+v", ok, o)
	}
}

// TestFaults: each action does to a plain client what it says.
func TestFaults(t *testing.T) {
	srv := S3(t)
	b := srv.Bucket(t)
	p := Proxy(t, srv)
	body := strings.Repeat("0123456789", 10_000)
	b.Put("k", body, nil)
	client := func(endpoint string) *s3.Client {
		return s3.New(b.SDK.Options(), func(o *s3.Options) { o.BaseEndpoint = aws.String(endpoint); o.RetryMaxAttempts = 1 })
	}
	via := client(p.Endpoint)
	get := func() (string, error) {
		out, err := via.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b.Name, Key: aws.String("k")})
		if err != nil {
			return "", err
		}
		defer out.Body.Close()
		got, err := io.ReadAll(out.Body)
		return string(got), err
	}
	put := func(key, body string) error {
		_, err := via.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: bytes.NewReader([]byte(body))})
		return err
	}
	once := func(verb string, a Action) *Applied { return p.Add(Fault{When: Match{Verb: verb}, Times: 1, Do: a}) }

	if got, err := get(); err != nil || got != body {
		t.Fatalf("without a fault: %d bytes, %v", len(got), err)
	}
	t.Run("refuse", func(t *testing.T) {
		once("GET", RefuseWith(503, "SlowDown", map[string]string{"Retry-After": "1"}))
		if _, err := get(); err == nil || !strings.Contains(err.Error(), "SlowDown") {
			t.Error(err)
		}
	})
	t.Run("reset the response", func(t *testing.T) {
		once("GET", ResetResponse(40_000))
		got, err := get()
		if err == nil || len(got) > 40_000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("truncate", func(t *testing.T) {
		once("GET", Truncate(40_000))
		got, err := get()
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 40_000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("corrupt the response", func(t *testing.T) {
		once("GET", CorruptResponse(12_345))
		got, err := get()
		if err == nil && (len(got) != len(body) || got == body || got[:12_345] != body[:12_345] || got[12_346:] != body[12_346:]) {
			t.Error("another byte was changed, or none")
		}
	})
	t.Run("corrupt the request", func(t *testing.T) {
		once("PUT", CorruptRequest(5))
		if err := put("corrupt", body); err == nil {
			t.Error("the server took it")
		}
		b.WantNone("corrupt")
	})
	t.Run("reset the request", func(t *testing.T) {
		once("PUT", ResetRequest(5))
		if err := put("cut", body); err == nil {
			t.Error("the server took it")
		}
		b.WantNone("cut")
	})
	t.Run("lose the answer", func(t *testing.T) {
		once("PUT", LoseAnswer())
		if err := put("lost", "arrived"); err == nil {
			t.Error("there was an answer")
		}
		b.Want("lost", "arrived")
	})
	t.Run("strip conditions", func(t *testing.T) {
		once("PUT", StripConditions())
		cond := &s3.PutObjectInput{Bucket: &b.Name, Key: aws.String("k"), Body: strings.NewReader(body), IfNoneMatch: aws.String("*")}
		if _, err := via.PutObject(t.Context(), cond); err != nil {
			t.Errorf("the condition is still there, or the signature does not fit: %v", err)
		}
	})
	t.Run("gate", func(t *testing.T) {
		g := Hold()
		p.Add(Fault{When: Match{Verb: "PUT", Key: "gated"}, Do: g})
		errs := make(chan error, 1)
		go func() { errs <- put("gated", "x") }()
		<-g.Arrived()
		b.WantNone("gated")
		g.Open()
		if err := <-errs; err != nil {
			t.Error(err)
		}
		b.Want("gated", "x")
	})
	t.Run("gate behind the server, and a client that goes away", func(t *testing.T) {
		g := HoldAnswer()
		p.Add(Fault{When: Match{Verb: "PUT", Key: "behind"}, Do: g})
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() {
			_, err := via.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.Name, Key: aws.String("behind"), Body: strings.NewReader("x")})
			errs <- err
		}()
		<-g.Arrived()
		b.Want("behind", "x")
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("gone while held in front", func(t *testing.T) {
		g := Hold()
		a := p.Add(Fault{When: Match{Verb: "PUT", Key: "gone"}, Do: g})
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() {
			_, err := via.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.Name, Key: aws.String("gone"), Body: strings.NewReader("x")})
			errs <- err
		}()
		<-g.Arrived()
		cancel()
		<-errs
		p.Away() // returns when the handler has noticed
		p.Back()
		a.Remove()
		b.WantNone("gone")
	})
	t.Run("away and back", func(t *testing.T) {
		p.Away()
		if _, err := get(); err == nil {
			t.Error("it answers while it is away")
		}
		p.Back()
		if got, err := get(); err != nil || got != body {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("counts", func(t *testing.T) {
		p.Forget()
		_, _ = get()
		_ = put("count", "x")
		if p.Count("GET") != 1 || p.Count("PUT") != 1 || p.Count("") != 2 {
			t.Errorf("%d GET, %d PUT, %d in all", p.Count("GET"), p.Count("PUT"), p.Count(""))
		}
		p.WaitFor(t.Context(), Match{Verb: "PUT", Key: "count"}, 1)
	})
	t.Run("latency", func(t *testing.T) {
		p.Latency(30 * time.Millisecond)
		start := time.Now()
		if _, err := get(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d < 30*time.Millisecond {
			t.Errorf("an answer after %v", d) // a lower bound: it cannot fail by being slow
		}
		p.Latency(0)
	})
}

func TestProxyAtASocket(t *testing.T) {
	srv := S3(t)
	p := Proxy(t, srv)
	tr := unixhttp.Transport(strings.TrimPrefix(p.Socket, unixhttp.Scheme))
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://localhost/no-such-bucket/key")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 400 || p.Count("GET") != 1 {
		t.Errorf("%s, %d requests", resp.Status, p.Count("GET"))
	}
}

func TestHostileTreeComparesWithItself(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	x := HostileTree(t, a, Hostile{LongEscapes: true, NotKept: true, TooLong: true})
	y := HostileTree(t, b, Hostile{LongEscapes: true, NotKept: true, TooLong: true})
	if d := x.Diff(y, Ignore{}); len(d) != 0 {
		t.Errorf("two builds differ: %v", d)
	}
	if len(x) < 150 {
		t.Errorf("only %d names", len(x))
	}
	for p, change := range map[string]func(*Node){
		"sizes/1":     func(n *Node) { n.SHA256 = "other" },
		"links/up":    func(n *Node) { n.Target = "other" },
		"modes/0755":  func(n *Node) { n.Mode ^= 1 },
		"empty/plain": func(n *Node) { n.Mtime++ },
		"sizes/0":     func(n *Node) { n.UID++ },
	} {
		z := x.Without()
		n := z[p]
		change(&n)
		z[p] = n
		if d := x.Diff(z, Ignore{}); len(d) != 1 || !strings.Contains(d[0], p) {
			t.Errorf("%s: %v", p, d)
		}
	}
	if d := x.Diff(x.Without("deep"), Ignore{}); len(d) != 121 {
		t.Errorf("without deep: %d differences", len(d))
	}
	if d := x.Without("deep").Diff(x, Ignore{}); len(d) != 121 {
		t.Errorf("with deep: %d differences", len(d))
	}
	k := x.Kept()
	if _, ok := k["special/fifo"]; ok || k["modes/4755"].Mode&0o7777 != 0o755 || k["modes/1777"].Mode&0o7777 != 0o1777 {
		t.Error("Kept keeps what is not kept")
	}
	if x["sparse/hole"].Blocks*512 >= x["sparse/hole"].Size {
		t.Errorf("the sparse file is not: %+v", x["sparse/hole"])
	}
}

func TestGitTree(t *testing.T) {
	dir := t.TempDir()
	GitTree(t, dir)
	Git(t, dir, "fsck", "--strict")
	if _, ok := Scan(t, dir)[".git/refs"]; !ok {
		t.Error("no refs/")
	}
}
