package sockdir

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// echo serves until the listener is closed.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { io.Copy(c, c); c.Close() }()
	}
}

func roundTrip(t *testing.T, d *Dir, name string) {
	t.Helper()
	c, err := d.Dial(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "ping" {
		t.Fatalf("got %q, %v", b, err)
	}
}

func TestServesBelowAPathOfAnyLength(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 200))
	d := open(t, long)
	l, err := d.Listen("s.sock", 0o666)
	if err != nil {
		t.Fatal(err)
	}
	go echo(l)
	roundTrip(t, d, "s.sock")
	fi, err := os.Lstat(filepath.Join(long, "s.sock"))
	if err != nil || fi.Mode().Perm() != 0o666 {
		t.Fatalf("the socket is %v, %v", fi, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(long); len(names) != 0 {
		t.Errorf("closing left %v", names)
	}
}

// The socket of a server that was killed is in the way of the next one.
func TestReplacesADeadServersSocket(t *testing.T) {
	d := open(t, t.TempDir())
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.Address("s.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := d.Dial(t.Context(), "s.sock"); err == nil {
		t.Fatal("the dead socket answers")
	}
	l, err := d.Listen("s.sock", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go echo(l)
	roundTrip(t, d, "s.sock")
}

// A container can write into a mounted directory: what it puts in the place of its
// socket must not lead the host to another server.
func TestDialFollowsNoLink(t *testing.T) {
	d := open(t, t.TempDir())
	other := open(t, t.TempDir())
	l, err := other.Listen("engine.sock", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go echo(l)
	if err := os.Symlink(filepath.Join(other.f.Name(), "engine.sock"), filepath.Join(d.f.Name(), "s.sock")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.f.Name(), "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"s.sock", "file"} {
		if _, err := d.Dial(t.Context(), name); !errors.Is(err, errNotSocket) {
			t.Errorf("Dial(%q) gives %v, want errNotSocket", name, err)
		}
	}
	if _, err := d.Dial(t.Context(), "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Dial of a missing name gives %v", err)
	}
}

// What root in a container puts in the place of a new socket, before that has its permissions, leads to no other file.
func TestPermissionsAreTheSocketsAlone(t *testing.T) {
	d := open(t, t.TempDir())
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(secret, nil, 0o600), os.Symlink(secret, filepath.Join(d.f.Name(), "link"))); err != nil {
		t.Fatal(err)
	}
	if err := d.chmod("link", 0o666); !errors.Is(err, errNotSocket) {
		t.Errorf("it says %v, want errNotSocket", err)
	}
	if fi, err := os.Stat(secret); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the file that the link leads to is %v, %v", fi.Mode(), err)
	}
}
