package objectstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/objectstore/protocol"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// kinds are all Err values, to see that an error is one of them and no other.
var kinds = []error{ErrNotFound, ErrPrecondition, ErrAccessDenied, ErrNoBucket, ErrWrongRegion, ErrExpiredCredentials, ErrBadCredentials,
	ErrClockSkew, ErrChecksum, ErrEndpoint, errNoUpload, ErrTooLarge, ErrUnavailable, ErrUnsupported, ErrInvalid}

func wantKind(t *testing.T, err error, kind error, says ...string) {
	t.Helper()
	for _, k := range kinds {
		if errors.Is(err, k) != (errors.Is(k, kind)) {
			t.Errorf("%v: is it %q? %v", err, k, errors.Is(err, k))
		}
	}
	for _, s := range says {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
}

// TestDiagnosis is what is wrong at a start, and what the message says to do.
func TestDiagnosis(t *testing.T) {
	b := newBench(t)
	env := func(id, secret string) wire.Credentials {
		return wire.Credentials{Env: map[string]string{"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret}}
	}
	check := func(c config.S3, w wire.Credentials) error { return open(t, c, w).Check(t.Context(), "users/u/") }
	c := b.proxy.Config(b.bucket)
	if err := check(c, b.bucket.Credentials()); err != nil {
		t.Fatal(err)
	}
	t.Run("no such bucket", func(t *testing.T) {
		c := c
		c.Bucket = "no-such-bucket"
		wantKind(t, check(c, b.bucket.Credentials()), ErrNoBucket, `S3_BUCKET="no-such-bucket"`, "create it")
	})
	t.Run("an unknown key", func(t *testing.T) {
		wantKind(t, check(c, env("NOBODY", "x")), ErrBadCredentials, "AWS_ACCESS_KEY_ID")
	})
	t.Run("a wrong secret", func(t *testing.T) {
		err := check(c, env(b.bucket.Server.AccessKey, "wrong-secret"))
		wantKind(t, err, ErrBadCredentials)
		if strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("the error has the secret: %v", err)
		}
	})
	t.Run("another region", func(t *testing.T) {
		c := c
		c.Region = "eu-west-1"
		wantKind(t, check(c, b.bucket.Credentials()), ErrWrongRegion, "S3_REGION")
	})
	for name, f := range map[string]struct {
		status       int
		code, region string
		kind         error
		says         string
	}{
		"redirect of AWS":         {301, "PermanentRedirect", "eu-west-1", ErrWrongRegion, "set S3_REGION=eu-west-1"},
		"redirect while DNS lags": {307, "TemporaryRedirect", "eu-west-1", ErrWrongRegion, "set S3_REGION=eu-west-1"},
		"malformed authorization": {400, "AuthorizationHeaderMalformed", "ap-south-1", ErrWrongRegion, "set S3_REGION=ap-south-1"},
		"access denied":           {403, "AccessDenied", "", ErrAccessDenied, "s3:ListBucket"},
		"expired":                 {400, "ExpiredToken", "", ErrExpiredCredentials, "renew AWS_ACCESS_KEY_ID of the environment"},
		"a bad token":             {400, "InvalidToken", "", ErrBadCredentials, "check"},
		"a bucket not found":      {404, "NotFound", "", ErrNoBucket, "create it"},
		"not implemented":         {501, "NotImplemented", "", ErrUnsupported, ""},
		"an invalid request":      {400, "InvalidRequest", "", ErrInvalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := map[string]string{}
			if f.region != "" {
				h["X-Amz-Bucket-Region"] = f.region
			}
			b.proxy.Forget()
			fault := b.fault("LIST", 0, testbed.RefuseWith(f.status, f.code, h))
			defer fault.Remove()
			wantKind(t, check(c, b.bucket.Credentials()), f.kind, f.says, f.code)
			if n := b.proxy.Count(""); n != 1 {
				t.Errorf("%d requests: what is not passing was tried again", n)
			}
		})
	}
	t.Run("no S3 at all", func(t *testing.T) {
		fault := b.fault("LIST", 0, testbed.Answer(404, map[string]string{"Content-Type": "text/html"}, "<html><body>nginx: not\n found</body></html>"))
		defer fault.Remove()
		wantKind(t, check(c, b.bucket.Credentials()), ErrEndpoint, "nginx", "S3_ENDPOINT")
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint("a redirect of a proxy, ", status), func(t *testing.T) {
			b.proxy.Forget()
			fault := b.fault("LIST", 0, testbed.Answer(status, map[string]string{"Location": "https://store.example.org/x"}, "<html>moved</html>"))
			defer fault.Remove()
			wantKind(t, check(c, b.bucket.Credentials()), ErrEndpoint, "S3_ENDPOINT", "https://store.example.org/x")
			if n := b.proxy.Count(""); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
	t.Run("a page that says 200", func(t *testing.T) {
		fault := b.fault("LIST", 0, testbed.Answer(200, nil, "<html>login</html>"))
		defer fault.Remove()
		s := open(t, c, b.bucket.Credentials(), func(o *Options) { o.Patience = 100 * time.Millisecond })
		wantKind(t, s.Check(t.Context(), ""), ErrUnavailable, "XML")
	})
	t.Run("nobody listens", func(t *testing.T) {
		c := c
		c.Endpoint = "http://" + testbed.FreeAddress(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		err := open(t, c, b.bucket.Credentials()).Check(ctx, "")
		wantKind(t, err, ErrUnavailable, "connection refused", c.Endpoint)
	})
	t.Run("no socket", func(t *testing.T) {
		c := c
		c.Endpoint = "unix:///nonexistent/storage.sock"
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		wantKind(t, open(t, c, wire.Credentials{}).Check(ctx, ""), ErrUnavailable, "/nonexistent/storage.sock")
	})
	t.Run("a certificate of nobody", func(t *testing.T) {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Config.ErrorLog = nil
		srv.TLS = &tls.Config{}
		srv.StartTLS()
		defer srv.Close()
		c := c
		c.Endpoint = srv.URL
		wantKind(t, check(c, b.bucket.Credentials()), ErrEndpoint, "certificate")
	})
	t.Run("TLS where there is none", func(t *testing.T) {
		c := c
		c.Endpoint = strings.Replace(c.Endpoint, "http://", "https://", 1)
		wantKind(t, check(c, b.bucket.Credentials()), ErrEndpoint, "TLS")
	})
}

// TestSomethingInTheWay: a store that keeps keys as files has a 409 of its own for a key below
// an object, and for one whose directory another request removed in between. Only the first stays.
func TestSomethingInTheWay(t *testing.T) {
	b := newBench(t)
	inTheWay := testbed.Refuse(409, "ExistingObjectIsDirectory")
	f := b.fault("PUT", 1, inTheWay)
	if _, err := b.put("k", "body", PutOptions{}); err != nil || f.Hits() != 1 {
		t.Errorf("%v, %d hits", err, f.Hits())
	}
	b.bucket.Want("k", "body")
	f = b.fault("PUT", 0, inTheWay)
	_, err := b.put("k", "new", PutOptions{})
	wantKind(t, err, ErrInvalid, "ExistingObjectIsDirectory")
	if f.Hits() != fewAttempts {
		t.Errorf("%d requests", f.Hits())
	}
}

// TestNotFoundIsSaidInS3: what is gone is deleted here, too. So a 404 of anything but S3, or
// for a reason that is not known, says nothing of the object.
func TestNotFoundIsSaidInS3(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		do   testbed.Action
		kind error
	}{
		"S3":             {testbed.Refuse(404, "NoSuchKey"), ErrNotFound},
		"another reason": {testbed.Refuse(404, "NoSuchTenant"), ErrInvalid},
		"no S3":          {testbed.Answer(404, nil, "404 page not found"), ErrEndpoint},
		"nothing":        {testbed.Answer(404, nil, ""), ErrEndpoint},
	} {
		f := b.fault("", 0, c.do)
		_, err := b.get("k", GetOptions{})
		if !errors.Is(err, c.kind) || errors.Is(err, ErrNotFound) != (errors.Is(c.kind, ErrNotFound)) {
			t.Errorf("%s: %v", name, err)
		}
		if err := b.store.Delete(t.Context(), "k", Condition{}); (err == nil) != (errors.Is(c.kind, ErrNotFound)) {
			t.Errorf("%s: Delete: %v", name, err)
		}
		f.Remove()
	}
}

// TestHeadSaysWhy: a HEAD has no body that would say it.
func TestHeadSaysWhy(t *testing.T) {
	b := newBench(t)
	o := b.mustPut("k", "body")
	for code, kind := range map[string]error{"ExpiredToken": ErrExpiredCredentials, "AccessDenied": ErrAccessDenied} {
		status := map[string]int{"ExpiredToken": 400, "AccessDenied": 403}[code]
		f := b.fault("", 0, testbed.Refuse(status, code))
		_, err := b.store.Head(t.Context(), "k")
		wantKind(t, err, kind, "cannot look up")
		f.Remove()
	}
	f := b.fault("HEAD", 0, testbed.Refuse(403, "AccessDenied"))
	if h, err := b.store.Head(t.Context(), "k"); err != nil || h.ETag != o.ETag || h.Size != 4 {
		t.Errorf("a HEAD that is refused where a GET is not: %+v, %v", h, err)
	}
	f.Remove()
}

// TestClock: a clock that is an hour off, in either direction, before the first request and
// between two, is corrected by the server's Date; many requests at a time, too.
func TestClock(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 400 * 24 * time.Hour} {
		b := newBench(t)
		b.mustPut("before", "x")
		b.store.skew.Store(int64(jump))
		errs := make(chan error)
		for range 16 {
			go func() { errs <- second(b.put("after", "y", PutOptions{})) }()
		}
		for range 16 {
			if err := <-errs; err != nil {
				t.Errorf("%v: %v", jump, err)
			}
		}
		b.bucket.Want("after", "y")
		n := b.proxy.Count("")
		b.mustPut("again", "z")
		if b.proxy.Count("") != n+1 {
			t.Errorf("%v: the clock is still wrong", jump)
		}
	}
	b := newBench(t)
	b.fault("", 0, testbed.Refuse(403, "RequestTimeTooSkewed"))
	wantKind(t, b.store.Check(t.Context(), ""), ErrClockSkew, "clock")
	if n := b.proxy.Count(""); n != 1 {
		t.Errorf("%d requests, though the clock is right", n)
	}
}

func TestErrorText(t *testing.T) {
	e := &Error{Op: "read", Bucket: "b", Key: "users/u/hot/notes\n", Code: "AccessDenied", Message: "no", Status: 403, RequestID: "R", Hint: "do that", Attempts: 3, kind: ErrAccessDenied}
	if got, want := e.Error(), `cannot read "users/u/hot/notes\n" in s3://b: access denied (HTTP 403 AccessDenied, "no", request R, 3 attempts); do that`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	e = &Error{Op: "list", Bucket: "b", kind: ErrUnavailable, err: errors.New("reset")}
	if got, want := e.Error(), `cannot list s3://b: the store does not answer properly: reset`; got != want {
		t.Errorf("%s", got)
	}
}

func FuzzErrorDoc(f *testing.F) {
	f.Add([]byte("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>a &lt; b</Message></Error>"))
	f.Add([]byte("<Error><Code/></Error>"))
	f.Add([]byte("<a><b></a></b>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := protocol.ParseRefusal(b)
		if !ok && d.Code != "" && len(b) < 8 {
			t.Fatalf("%+v", d)
		}
		_ = text(b)
		_, _ = parsePage(b, "")
	})
}
