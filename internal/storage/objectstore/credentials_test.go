package objectstore

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

func TestSharedCredentialsFile(t *testing.T) {
	for name, c := range map[string]struct {
		content, profile string
		want             Credentials
		err              string
	}{
		"plain":             {"[default]\naws_access_key_id=A\naws_secret_access_key=S\n", "", Credentials{AccessKey: "A", Secret: "S"}, ""},
		"token and blanks":  {" [ default ] \n aws_access_key_id = A \n AWS_SECRET_ACCESS_KEY\t=\tS=/+ \r\naws_session_token=T==\n", "", Credentials{AccessKey: "A", Secret: "S=/+", Token: "T=="}, ""},
		"comments":          {"# a\n; b\n\n[default]\n#x\naws_access_key_id=A\naws_secret_access_key=S\n[other]\naws_access_key_id=B", "", Credentials{AccessKey: "A", Secret: "S"}, ""},
		"another profile":   {"[default]\naws_access_key_id=A\n[work]\naws_access_key_id=B\naws_secret_access_key=S", "work", Credentials{AccessKey: "B", Secret: "S"}, ""},
		"of a config file":  {"[profile work]\naws_access_key_id=B\naws_secret_access_key=S", "work", Credentials{AccessKey: "B", Secret: "S"}, ""},
		"a byte order mark": {"\ufeff[default]\naws_access_key_id=A\naws_secret_access_key=S\n", "", Credentials{AccessKey: "A", Secret: "S"}, ""},
		"no such profile":   {"[default]\naws_access_key_id=A\naws_secret_access_key=S", "work", Credentials{}, "no such profile"},
		"no secret":         {"[default]\naws_access_key_id=A\n", "", Credentials{}, "aws_secret_access_key is missing"},
		"no key":            {"[default]\naws_secret_access_key=S\n", "", Credentials{}, "aws_access_key_id is missing"},
		"no pairs":          {"[default]\nhunter2\n", "", Credentials{}, "line 2"},
		"no section":        {"[default\n", "", Credentials{}, "line 1"},
		"a process":         {"[default]\ncredential_process = /bin/x\n", "", Credentials{}, "credential_process is not supported"},
		"json":              {`{"AccessKeyId":"A"}`, "", Credentials{}, "no such profile"},
	} {
		w := wire.Credentials{File: []byte(c.content)}
		if c.profile != "" {
			w.Env = map[string]string{"AWS_PROFILE": c.profile}
		}
		s, err := Open(t.Context(), Options{S3: config.S3{Bucket: "bbb", Endpoint: "http://127.0.0.1:1"}, Credentials: w})
		if c.err != "" {
			if !errors.Is(err, ErrBadCredentials) || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := s.keys.get(t.Context())
		if err != nil || !got.same(&c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzCredentialsFile(f *testing.F) {
	f.Add([]byte("[default]\naws_access_key_id=A\naws_secret_access_key=S\n"))
	f.Add([]byte("[x\n=\n[]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := (&fileSource{profile: "default"}).parse(b)
		if (err == nil) != (c.AccessKey != "" && c.Secret != "") {
			t.Fatalf("%+v, %v", c, err)
		}
	})
}

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
		s.keys.current = &Credentials{AccessKey: "OLD", Secret: "old"}
		if err := s.Check(t.Context(), ""); err != nil || f.Hits() != 1 {
			t.Error(err)
		}
	})
	t.Run("half written", func(t *testing.T) {
		if err := os.WriteFile(file, []byte("[default]\naws_acc"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.keys.current = nil
		if err := s.Check(t.Context(), ""); err != nil {
			t.Errorf("the credentials before are forgotten: %v", err)
		}
	})
	t.Run("removed", func(t *testing.T) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		s.keys.current = nil
		if err := s.Check(t.Context(), ""); err != nil {
			t.Errorf("the credentials before are forgotten: %v", err)
		}
	})
}

// TestKeyring: early, once, and not for every request.
func TestKeyring(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	src := &fakeSource{}
	k := &keyring{source: src, now: func() time.Time { return now }}
	get := func() *Credentials {
		t.Helper()
		c, err := k.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	src.next = Credentials{AccessKey: "1", Expires: now.Add(time.Hour), Renew: now.Add(55 * time.Minute)}
	for range 3 {
		get()
	}
	if src.asked != 1 {
		t.Errorf("asked %d times", src.asked)
	}
	now = now.Add(54 * time.Minute)
	src.next.AccessKey = "2"
	if get().AccessKey != "1" {
		t.Error("asked too early")
	}
	now = now.Add(2 * time.Minute)
	src.err = errors.New("down")
	if get().AccessKey != "1" || src.asked != 2 {
		t.Errorf("what is still good is not used; asked %d times", src.asked)
	}
	get()
	if src.asked != 2 {
		t.Error("a source that is down is asked at every request")
	}
	now = now.Add(90 * time.Second)
	src.err, src.next.Expires, src.next.Renew = nil, now.Add(time.Hour), now.Add(55*time.Minute)
	if get().AccessKey != "2" {
		t.Error("not renewed")
	}
	now = now.Add(2 * time.Hour)
	src.err = errors.New("down")
	if _, err := k.get(t.Context()); !errors.Is(err, src.err) {
		t.Errorf("expired, and the source is down: %v", err)
	}
	src.err = nil
	src.next.Expires, src.next.Renew = now.Add(time.Hour), now.Add(-time.Minute) // a source that says what is due already
	before := src.asked
	get()
	get()
	if src.asked != before+1 {
		t.Errorf("asked %d times more", src.asked-before)
	}
	old := get()
	src.next.AccessKey = "3"
	if !k.refused(t.Context(), old) || get().AccessKey != "3" {
		t.Error("refused, and not asked again")
	}
	asked := src.asked
	if !k.refused(t.Context(), old) || src.asked != asked {
		t.Error("a late refusal of what is no longer in use asks again")
	}
	if k.refused(t.Context(), get()) {
		t.Error("the same again counts as new")
	}
}

// TestNobodyWaits for a source that is asked early: what is in use is still good. Those who have
// nothing wait for the one request.
func TestNobodyWaits(t *testing.T) {
	now := time.Now()
	src := &slowSource{asked: make(chan struct{}), answer: make(chan Credentials)}
	k := &keyring{source: src, now: func() time.Time { return now }}
	got := make(chan *Credentials, 3)
	ask := func() {
		c, err := k.get(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- c
	}
	for range 3 {
		go ask()
	}
	<-src.asked
	src.answer <- Credentials{AccessKey: "1", Expires: now.Add(2 * time.Minute), Renew: now.Add(-time.Minute)}
	for range 3 {
		if c := <-got; c.AccessKey != "1" {
			t.Errorf("%+v", c)
		}
	}
	k.mu.Lock()
	k.current.Renew = now
	k.mu.Unlock()
	go ask()
	<-src.asked
	if c, err := k.get(t.Context()); err != nil || c.AccessKey != "1" { // would wait for ever
		t.Errorf("%+v, %v", c, err)
	}
	src.answer <- Credentials{AccessKey: "2"}
	if c := <-got; c.AccessKey != "2" {
		t.Errorf("%+v", c)
	}
	k.current = nil
	go ask()
	<-src.asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("waited with a context that has ended: %v", err)
	}
	src.answer <- Credentials{AccessKey: "3"}
	<-got
}

type slowSource struct {
	asked  chan struct{}
	answer chan Credentials
}

func (s *slowSource) String() string { return "slow" }
func (s *slowSource) read(context.Context) (Credentials, error) {
	s.asked <- struct{}{}
	return <-s.answer, nil
}

type fakeSource struct {
	next  Credentials
	err   error
	asked int
}

func (f *fakeSource) String() string { return "fake" }
func (f *fakeSource) read(context.Context) (Credentials, error) {
	f.asked++
	return f.next, f.err
}

// TestSources: which source wins, and what is no source.
func TestSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	testbed.WriteCredentials(t, file, "F", "s", "")
	content, _ := os.ReadFile(file)
	all := map[string]string{
		"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "s", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "r",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
	}
	without := func(names ...string) map[string]string {
		m := map[string]string{}
		for k, v := range all {
			m[k] = v
		}
		for _, n := range names {
			delete(m, n)
		}
		return m
	}
	for _, c := range []struct {
		w    wire.Credentials
		unix bool
		want string
	}{
		{wire.Credentials{File: content, Env: all}, true, "S3_CREDENTIALS_FILE"},
		{wire.Credentials{Env: all}, true, "AWS_ACCESS_KEY_ID"},
		{wire.Credentials{Env: without("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}, true, "AWS_WEB_IDENTITY_TOKEN_FILE"},
		{wire.Credentials{Env: without("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ROLE_ARN")}, true, "the container's role at http://169.254.170.2/x"},
		{wire.Credentials{Env: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file}}, false, file},
		{wire.Credentials{}, true, "none"},
		{wire.Credentials{}, false, "the instance's role"},
	} {
		s, err := newSource(config.S3{Region: "us-east-1"}, c.w, c.unix, http.DefaultClient)
		if err != nil || !strings.Contains(s.String(), c.want) {
			t.Errorf("%+v: %v, %v", c, s, err)
		}
	}
	for name, env := range map[string]map[string]string{
		"half a pair":          {"AWS_ACCESS_KEY_ID": "x"},
		"a token over the net": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.org/x"},
		"no URL":               {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "::"},
		"no file":              {"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"},
		"nothing, and no role": {"AWS_EC2_METADATA_DISABLED": "true"},
	} {
		if _, err := Open(t.Context(), Options{S3: config.S3{Bucket: "bbb"}, Credentials: wire.Credentials{Env: env}}); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
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
