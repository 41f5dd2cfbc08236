package hostd

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

const (
	testAccessKey = "AKIATESTTESTTESTTEST"
	testSecretKey = "a-secret-that-is-in-no-file"
)

// newSandboxElsewhere records a sandbox whose store is at the endpoint and is signed for with
// credentials of the operator's environment.
func newSandboxElsewhere(t *testing.T, d datadir.Dir, endpoint string) datadir.Sandbox {
	t.Helper()
	s := newSandbox(t, d, "one", "u1")
	r, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	r.Store = datadir.Store{Bucket: "workspaces", Prefix: "users/", Region: "r", Endpoint: endpoint, PathStyle: true, AccessKey: testAccessKey}
	if err := s.Save(r); err != nil {
		t.Fatal(err)
	}
	return s
}

// expectNoSecret looks at each file of the data directory.
func expectNoSecret(t *testing.T, d datadir.Dir) {
	t.Helper()
	err := filepath.WalkDir(d.Path(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), testSecretKey) {
			t.Errorf("the secret is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Credentials are in the memory of the daemon and its guard: they survive the death of
// either, and are in no file. When both were killed, the sandbox waits for a program that
// has them.
func TestCredentialsAreInNoFile(t *testing.T) {
	var signed atomic.Int64
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "Credential="+testAccessKey+"/") {
			signed.Add(1)
		}
	}))
	defer store.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "") // what the daemons inherit
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	d := newDir(t)
	c, h := ensure(t, d)
	one := newSandboxElsewhere(t, d, store.URL)
	if err := c.Authorize(t.Context(), one.ID, Credentials{AccessKey: testAccessKey, SecretKey: testSecretKey}); err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, one, "GET", "users/u1/a", "")
	expectNoSecret(t, d)

	// The daemon is killed: its guard hands them to the next.
	awaitLog(t, d, "guard_started", 1)
	if err := syscall.Kill(pidOf(t, c), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-h.Lost()
	awaitLog(t, d, "credentials_handed_over", 1)
	mustAsk(t, one, "GET", "users/u1/a", "")
	expectNoSecret(t, d)

	// Both are killed: the stopped daemon cannot start another guard in between.
	awaitLog(t, d, "guard_started", 2)
	pid, guard := pidOf(t, c), guardPID(t, d)
	for _, kill := range []struct {
		pid int
		sig syscall.Signal
	}{{pid, syscall.SIGSTOP}, {guard, syscall.SIGKILL}, {pid, syscall.SIGKILL}} {
		if err := syscall.Kill(kill.pid, kill.sig); err != nil {
			t.Fatal(err)
		}
	}
	awaitDeath(t, pid)
	release, err := Revive(t.Context(), d, self, false)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	code, body, err := ask(t.Context(), one, "GET", "users/u1/a", "")
	if err != nil || code != http.StatusServiceUnavailable || strings.Contains(body, testAccessKey) {
		t.Errorf("without credentials: %d %s %v", code, body, err)
	}
	st, err := c.Status(t.Context())
	if err != nil || len(st.Sandboxes) != 1 || !st.Sandboxes[0].AwaitsCredentials {
		t.Errorf("the daemon says %+v, %v", st, err)
	}

	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAOTHEROTHEROTHERO")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of another account")
	again, err := Revive(t.Context(), d, self, false)
	if err != nil {
		t.Fatal(err)
	}
	defer again()
	if code, _, _ := ask(t.Context(), one, "GET", "users/u1/a", ""); code != http.StatusServiceUnavailable {
		t.Errorf("credentials of another account are taken: %d", code)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", testAccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testSecretKey)
	once, err := Revive(t.Context(), d, self, false)
	if err != nil {
		t.Fatal(err)
	}
	defer once()
	mustAsk(t, one, "GET", "users/u1/a", "")
	expectNoSecret(t, d)
	if n := signed.Load(); n != 3 {
		t.Errorf("%d requests were signed, want 3", n)
	}
}

func TestVaultIsReadToItsLastWholeLine(t *testing.T) {
	v, err := newVault()
	if err != nil {
		t.Fatal(err)
	}
	defer v.file.Close()
	for id, c := range map[string]Credentials{"a": {AccessKey: "k", SecretKey: "s"}, "b": {AccessKey: "k2", SecretKey: "s2", SessionToken: "t"}} {
		if err := v.put(id, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.put("a", Credentials{AccessKey: "k3", SecretKey: "s3"}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.file.WriteString(`{"sandbox_id":"b","access_key":"tor`); err != nil { // killed here
		t.Fatal(err)
	}
	got, err := readVault(v.file)
	if err != nil || len(got) != 2 || got["a"].SecretKey != "s3" || got["b"].SecretKey != "s2" {
		t.Errorf("%v, %v", got, err)
	}
	for _, id := range []string{"a", "b"} {
		if err := v.forget(id); err != nil {
			t.Fatal(err)
		}
	}
	if fi, err := v.file.Stat(); err != nil || fi.Size() != 0 {
		t.Errorf("with nothing to keep the vault has %d bytes, %v", fi.Size(), err)
	}
	other, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := readVault(other); err == nil {
		t.Error("another file is taken for a vault")
	}
}
