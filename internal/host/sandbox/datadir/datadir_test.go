package datadir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
)

func newSandbox(t *testing.T) (Dir, Sandbox) {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Sandbox("one")
	if err == nil {
		err = makeDir(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d, s
}

// Sockets in it are open to all users by their own mode: the directories must not be.
func TestItIsTheOperatorsAlone(t *testing.T) {
	d, s := newSandbox(t)
	for _, p := range []string{d.Path(), d.Hostd(), d.Buckets(), s.HostDir(), s.RunDir()} {
		if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%s is %v, %v", p, fi.Mode(), err)
		}
	}
	if err := s.Save(Record{SandboxID: "one", Store: Store{Bucket: "b"}}); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(s.file("record.json")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the record is %v, %v", fi.Mode(), err)
	}
}

func TestIDs(t *testing.T) {
	d, _ := newSandbox(t)
	for _, id := range []string{"", ".", "..", "-a", "a/b", "../a", "a b", "ä", strings.Repeat("a", 129)} {
		if _, err := d.Sandbox(id); err == nil {
			t.Errorf("%q is taken for an ID", id)
		}
	}
	for _, id := range []string{"a", "A.b_c-9", strings.Repeat("a", 128)} {
		if _, err := d.Sandbox(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestAnIDIsTakenOnce(t *testing.T) {
	_, s := newSandbox(t)
	if err := makeDir(s); !errors.Is(err, ErrExists) {
		t.Errorf("Make gives %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := makeDir(s); err != nil {
		t.Errorf("after Remove: %v", err)
	}
}

func TestRecordsAreReadOldestFirstAndBesideABrokenOne(t *testing.T) {
	d, s := newSandbox(t)
	now := time.Now()
	if err := s.Save(Record{SandboxID: "one", Created: now}); err != nil {
		t.Fatal(err)
	}
	for id, content := range map[string]string{"two": "", "three": "{"} {
		o, _ := d.Sandbox(id)
		if err := makeDir(o); err != nil {
			t.Fatal(err)
		}
		if content != "" {
			if err := os.WriteFile(o.file("record.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := o.Save(Record{SandboxID: "two", Created: now.Add(-time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.Records()
	if err == nil || !strings.Contains(err.Error(), "three") {
		t.Errorf("the broken record gives %v", err)
	}
	if len(got) != 2 || got[0].SandboxID != "two" || got[1].SandboxID != "one" {
		t.Errorf("got %+v", got)
	}
}

// The lock goes to the next when its holder ends, and to one at a time.
func TestTheLockIsPassedOn(t *testing.T) {
	_, s := newSandbox(t)
	first, err := s.TryLock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.TryLock(); !errors.Is(err, ErrCaredFor) {
		t.Errorf("a second TryLock gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock of a done context gives %v", err)
	}
	got := make(chan error, 1)
	go func() {
		l, err := s.Lock(t.Context())
		if err == nil {
			l.Unlock()
		}
		got <- err
	}()
	first.Unlock()
	if err := <-got; err != nil {
		t.Errorf("Lock gives %v", err)
	}
}

// What a container has put into its directory is not followed, waited for or swallowed whole.
func TestTheStateIsReadWithCare(t *testing.T) {
	_, s := newSandbox(t)
	path := filepath.Join(s.RunDir(), contract.StateFileName)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"phase":"run"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() error{
		"link":      func() error { return os.Symlink(secret, path) },
		"hard FIFO": func() error { return unix.Mkfifo(path, 0o600) },
		"directory": func() error { return os.Mkdir(path, 0o700) },
		"no JSON":   func() error { return os.WriteFile(path, []byte("x"), 0o600) },
		"too large": func() error {
			return os.WriteFile(path, []byte(`{"phase":"`+strings.Repeat("x", maxState)+`"}`), 0o600)
		},
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if st, err := s.State(); err == nil {
			t.Errorf("%s: read %+v", name, st)
		}
		os.Remove(path)
	}
	if _, err := s.State(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"phase":"exit","exit_code":3}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if st, err := s.State(); err != nil || st.Phase != contract.PhaseExit || *st.ExitCode != 3 {
		t.Errorf("read %+v, %v", st, err)
	}
}

func TestTheInstanceIsRemembered(t *testing.T) {
	_, s := newSandbox(t)
	if s.Instance() != "" {
		t.Error("there is one from the beginning")
	}
	for _, i := range []string{"a", "a", "b"} {
		if err := s.SetInstance(i); err != nil || s.Instance() != i {
			t.Errorf("%q, %v", s.Instance(), err)
		}
	}
}

func TestDefaultFollowsTheSpecification(t *testing.T) {
	t.Setenv("HOME", "/home/op")
	for env, want := range map[string]string{
		"":         "/home/op/.local/share/matrx-sandbox",
		"relative": "/home/op/.local/share/matrx-sandbox",
		"/data":    "/data/matrx-sandbox",
	} {
		t.Setenv("XDG_DATA_HOME", env)
		if got, err := defaultDir(); err != nil || got != want {
			t.Errorf("with %q: %q, %v", env, got, err)
		}
	}
}

// makeDir makes a sandbox's directory that no process looks after.
func makeDir(s Sandbox) error {
	lock, err := s.Make(Record{SandboxID: s.ID})
	if err == nil {
		lock.Unlock()
	}
	return err
}
