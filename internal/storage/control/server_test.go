package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/matrx/sandbox/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// backend answers as it is told.
type backend struct {
	status     contract.StorageStatus
	checkpoint func(context.Context) (contract.Checkpoint, error)
}

func (b *backend) Status() contract.StorageStatus { return b.status }

func (b *backend) Checkpoint(ctx context.Context) (contract.Checkpoint, error) {
	return b.checkpoint(ctx)
}

func serve(t *testing.T, b Backend) (runDir string) {
	t.Helper()
	runDir = t.TempDir()
	s, err := Serve(runDir, b, nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(runDir, contract.ControlSocketName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return runDir
}

func TestTheSocketIsOpenToTheAgent(t *testing.T) {
	dir := serve(t, &backend{})
	fi, err := os.Stat(filepath.Join(dir, contract.ControlSocketName))
	if err != nil || fi.Mode().Perm() != 0o666 || fi.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket is %v, %v", fi.Mode(), err)
	}
}

func TestStatusAndCheckpointOverTheSocket(t *testing.T) {
	b := &backend{status: contract.StorageStatus{Hot: contract.HotStatus{State: "synced", Files: 7}}}
	b.checkpoint = func(context.Context) (contract.Checkpoint, error) { return contract.Checkpoint{Sequence: 9}, nil }
	c := NewClient(serve(t, b))
	if s, err := c.Status(t.Context()); err != nil || s.Hot.Files != 7 {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if done, err := c.Checkpoint(t.Context()); err != nil || done.Sequence != 9 {
		t.Errorf("Checkpoint = %+v, %v", done, err)
	}
}

func TestRefusals(t *testing.T) {
	b := &backend{}
	dir := serve(t, b)
	c := NewClient(dir)
	for _, test := range []struct {
		err    error
		status int
	}{
		{errors.New(`cannot write "a": access denied`), 500},
		{fmt.Errorf("the home is being hydrated: %w", ErrNotReady), 503},
	} {
		b.checkpoint = func(context.Context) (contract.Checkpoint, error) { return contract.Checkpoint{}, test.err }
		_, err := c.Checkpoint(t.Context())
		var refused *refusedError
		if !errors.As(err, &refused) || refused.status != test.status || err.Error() != test.err.Error() {
			t.Errorf("Checkpoint = %v, want %d %v", err, test.status, test.err)
		}
	}
	for _, test := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/", "", 404},
		{"GET", contract.ControlCheckpointPath, "", 404},
		{"POST", contract.ControlStatusPath, "", 404},
		{"POST", contract.ControlCheckpointPath, "x", 400},
	} {
		req, _ := http.NewRequest(test.method, "http://sandbox"+test.path, strings.NewReader(test.body))
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != test.want || !strings.Contains(string(body), `"error"`) {
			t.Errorf("%s %s = %d %s, want %d", test.method, test.path, resp.StatusCode, body, test.want)
		}
	}
}

func TestTheColdPathHasItsOwnHandler(t *testing.T) {
	cold := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Method+" "+r.URL.Path) })
	dir := t.TempDir()
	s, err := Serve(dir, &backend{}, cold, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	resp, err := NewClient(dir).http.Get("http://sandbox" + contract.ControlColdListPath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "GET "+contract.ControlColdListPath {
		t.Errorf("the answer is %q", body)
	}
}

// A client that goes ends its checkpoint, however long it has been waiting.
func TestACheckpointEndsWithItsClient(t *testing.T) {
	ended, began := make(chan struct{}), make(chan struct{})
	b := &backend{checkpoint: func(ctx context.Context) (contract.Checkpoint, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return contract.Checkpoint{}, ctx.Err()
	}}
	c := NewClient(serve(t, b))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	if _, err := c.Checkpoint(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Checkpoint = %v", err)
	}
	<-ended
}

func TestASocketLeftByAKilledProcessIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, contract.ControlSocketName)
	for _, left := range []string{path, path + ".new"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	s, err := Serve(dir, &backend{}, nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := NewClient(dir).Status(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := Serve(dir, &backend{}, nil, discard); !errors.Is(err, errInUse) {
		t.Errorf("a second server: %v, want ErrInUse", err)
	}
	if _, err := NewClient(dir).Status(t.Context()); err != nil {
		t.Errorf("the first server after that: %v", err)
	}
}

func TestNobodyServes(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewClient(dir).Status(t.Context()); !errors.Is(err, errNotServed) {
		t.Errorf("without a socket: %v", err)
	}
	if _, err := listen(filepath.Join(dir, strings.Repeat("x", 100))); err == nil || !strings.Contains(err.Error(), "shorter SANDBOX_RUN_DIR") {
		t.Errorf("a path that is too long: %v", err)
	}
	// One that accepts and says nothing.
	l, err := net.Listen("unix", filepath.Join(dir, contract.ControlSocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := NewClient(dir).Status(ctx); !errors.Is(err, errNotServed) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("a server that hangs: %v", err)
	}
}

// A user's connections in all the places of one class leave the other's free.
func TestConnectionsAreBoundedByUser(t *testing.T) {
	dir := serve(t, &backend{})
	path := filepath.Join(dir, contract.ControlSocketName)
	var open []net.Conn
	for range maxConns {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	// As many again wait, and one more of the same class is closed without an answer.
	for range maxWaiting {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	more, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if _, err := more.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the connection beyond the limit: %v, want EOF", err)
	}
	if err := asUser(t, 54321, path); err != nil {
		t.Errorf("another user finds no place: %v", err)
	}
	for _, conn := range open {
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range open {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("a connection that was closed: %v, want EOF", err)
		}
	}
	if _, err := NewClient(dir).Status(t.Context()); err != nil {
		t.Errorf("after the others have gone: %v", err)
	}
}

// Clients that use every connection there may be, and a new one for each request.
func TestBusyClientsAreNeverRefused(t *testing.T) {
	dir := serve(t, &backend{})
	var busy sync.WaitGroup
	for range maxConns {
		busy.Go(func() {
			client := NewClient(dir)
			for range 100 {
				if _, err := client.Status(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	busy.Wait()
}

func TestWaitingConnectionEndsWithTheServer(t *testing.T) {
	dir := t.TempDir()
	l, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := l.(*fairListener)
	for range maxConns + 1 {
		conn, err := net.Dial("unix", filepath.Join(dir, contract.ControlSocketName))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range maxConns {
		conn, err := f.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := f.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener = %v, %v", conn, err)
	}
}
