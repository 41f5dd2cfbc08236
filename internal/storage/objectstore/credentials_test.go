package objectstore

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// TestRotation: what the server refuses is read again from where it came, once, and the
// request goes on with it.
func TestRotation(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "credentials")
	testbed.WriteCredentials(t, file, "OLD", "old", "")
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := b.proxy.Config(b.bucket)
	c.CredentialsFile = file
	s := open(t, c, wire.Credentials{File: old})
	wantKind(t, s.Check(t.Context(), ""), ErrBadCredentials, file)

	testbed.WriteCredentials(t, file, b.bucket.Server.AccessKey, b.bucket.Server.SecretKey, "")
	b.proxy.Forget()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.Check(t.Context(), ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.proxy.Count(""); n > 16 {
		t.Errorf("%d requests", n)
	}
	t.Run("an expired token", func(t *testing.T) {
		f := b.fault("", 1, testbed.Refuse(400, "ExpiredToken"))
		wantKind(t, s.Check(t.Context(), ""), ErrExpiredCredentials, file) // it says the same as before
		if f.Hits() != 1 || b.store.Check(t.Context(), "") != nil {
			t.Error("the fault is still there")
		}
		f = b.fault("", 1, testbed.Refuse(400, "ExpiredToken"))
		testbed.WriteCredentials(t, file, "OLD", "old", "")
		s.forget(t)
		testbed.WriteCredentials(t, file, b.bucket.Server.AccessKey, b.bucket.Server.SecretKey, "")
		if err := s.Check(t.Context(), ""); err != nil || f.Hits() != 1 {
			t.Error(err)
		}
	})
	t.Run("half written", func(t *testing.T) {
		if err := os.WriteFile(file, []byte("[default]\naws_acc"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.forget(t)
		if err := s.Check(t.Context(), ""); err != nil {
			t.Errorf("the credentials before are forgotten: %v", err)
		}
	})
	t.Run("removed", func(t *testing.T) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		s.forget(t)
		if err := s.Check(t.Context(), ""); err != nil {
			t.Errorf("the credentials before are forgotten: %v", err)
		}
	})
}

// TestAnonymous: behind a unix endpoint the other end signs, so we do not.
func TestAnonymous(t *testing.T) {
	b := newBench(t)
	c := b.proxy.Config(b.bucket)
	c.Endpoint = b.proxy.Socket
	s := open(t, c, wire.Credentials{})
	err := s.Check(t.Context(), "")
	if err == nil {
		t.Error("the embedded server took a request without a signature")
	}
	for _, r := range b.proxy.Requests() {
		if r.Header.Get("Authorization") != "" || r.Header.Get("X-Amz-Date") != "" {
			t.Errorf("signed: %v", r.Header)
		}
	}
}

// forget has the source of the credentials asked again.
func (s *sender) forget(t *testing.T) {
	t.Helper()
	c, err := s.keys.Get(t.Context())
	if err == nil {
		_, err = s.keys.Refused(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Credentials that have ended are asked for again, and a source that does not answer at that moment is no
// reason to give the request up.
func TestRequestOutlivesSourceThatIsDown(t *testing.T) {
	b := newBench(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("jwt"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 2 {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`)
			return
		}
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
			b.bucket.Server.AccessKey, b.bucket.Server.SecretKey)
	}))
	defer sts.Close()
	s := open(t, b.proxy.Config(b.bucket), wire.Credentials{Env: map[string]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:x", "AWS_ENDPOINT_URL_STS": sts.URL}})
	b.fault("", 1, testbed.Refuse(400, "ExpiredToken"))
	if err := s.Check(t.Context(), ""); err != nil || asked.Load() != 3 {
		t.Errorf("STS was asked %d times: %v", asked.Load(), err)
	}
}
