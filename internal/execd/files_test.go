package execd

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/execapi"
)

func TestFiles(t *testing.T) {
	s := newSandbox(t)
	ctx := t.Context()
	odd := "odd \xff\n?&%#"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Put(ctx, odd, 0o640, strings.NewReader("0123456789")))
	f, err := s.Stat(ctx, odd, false)
	must(err)
	if f.Kind != "file" || f.Size != 10 || f.Mode != 0o640 || string(f.Raw) != odd {
		t.Errorf("%+v", f)
	}
	for _, tc := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "0123456789"}, {3, 4, "3456"}, {8, 100, "89"}, {10, -1, ""}, {99, 5, ""}} {
		r, err := s.Read(ctx, odd, tc.offset, tc.length)
		must(err)
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || string(got) != tc.want {
			t.Errorf("%d bytes from %d: %q, %v", tc.length, tc.offset, got, err)
		}
	}
	must(s.Put(ctx, odd, 0, strings.NewReader("new")))
	must(s.Append(ctx, odd, strings.NewReader("+more")))
	if b, err := os.ReadFile(filepath.Join(s.home, odd)); err != nil || string(b) != "new+more" {
		t.Errorf("%q, %v", b, err)
	}
	if f, err := s.Stat(ctx, odd, false); err != nil || f.Mode != 0o640 {
		t.Errorf("its mode is %+v, %v", f, err)
	}
	must(s.Mkdir(ctx, "a/b/c", 0o755, true))
	must(s.Rename(ctx, odd, "a/b/c/x"))
	must(s.Chmod(ctx, "a/b/c/x", 0o600))
	must(os.Symlink("b/c/x", filepath.Join(s.home, "a/link")))
	if f, err := s.Stat(ctx, "a/link", false); err != nil || f.Kind != "link" || f.Target != "b/c/x" {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := s.Stat(ctx, "a/link", true); err != nil || f.Kind != "file" || f.Mode != 0o600 {
		t.Errorf("%+v, %v", f, err)
	}
	const many = 1000
	for i := range many {
		must(os.WriteFile(filepath.Join(s.home, fmt.Sprint("a/f", i)), nil, 0o644))
	}
	seen := map[string]bool{}
	must(s.ListFiles(ctx, "a", func(f execapi.File) error { seen[f.Name] = true; return nil }))
	if len(seen) != many+2 || !seen["b"] || !seen["link"] {
		t.Errorf("%d names", len(seen))
	}
	if err := s.RemoveFile(ctx, "a", false); err == nil {
		t.Error("a directory that is not empty was removed")
	}
	must(s.RemoveFile(ctx, "a", true))
	for name, err := range map[string]error{
		"stat":   second(s.Stat(ctx, "none", false)),
		"list":   s.ListFiles(ctx, "none", func(execapi.File) error { return nil }),
		"read":   second(s.Read(ctx, "none", 0, -1)),
		"put":    s.Put(ctx, "none/x", 0, strings.NewReader("")),
		"rename": s.Rename(ctx, "none", "x"),
		"remove": s.RemoveFile(ctx, "none", false),
		"chmod":  s.Chmod(ctx, "none", 0o600),
		"tar":    second(s.TarOut(ctx, "none", false)),
		"watch":  s.WatchFiles(ctx, "none", func(execapi.Change) error { return nil }),
	} {
		if !errors.Is(err, execapi.ErrNotFound) {
			t.Errorf("%s of none: %v", name, err)
		}
	}
	if err := s.Mkdir(ctx, "", 0o755, false); !errors.Is(err, execapi.ErrInvalid) {
		t.Errorf("no path: %v", err)
	}
	if names := entries(t, s.home); names != "" {
		t.Errorf("there is %s", names)
	}
}

func second[T any](_ T, err error) error { return err }

func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestPutIsAtomic: one that breaks off leaves what was there, and nothing beside it.
func TestPutIsAtomic(t *testing.T) {
	s := newSandbox(t)
	if err := s.Put(t.Context(), "file", 0, strings.NewReader("whole")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no more")
	if err := s.Put(t.Context(), "file", 0, io.MultiReader(strings.NewReader("half"), failing{broken})); err == nil {
		t.Error("half a file was taken")
	}
	r, err := s.Read(t.Context(), "file", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "whole" || entries(t, s.home) != "file" {
		t.Errorf("there is %q, %v and %s", got, err, entries(t, s.home))
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// TestStalledClientsHoldUpNoOthers: more of them than copies are made at a time, which do not read, or do not send.
func TestStalledClientsHoldUpNoOthers(t *testing.T) {
	s := newSandbox(t)
	if err := os.WriteFile(filepath.Join(s.home, "large"), make([]byte, 8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	defer sending.Wait()
	defer stop()
	begins := func() error { // within the time that a client gives it
		r, err := s.Read(ctx, "large", 0, -1)
		if err == nil {
			t.Cleanup(func() { r.Close() })
		}
		return err
	}
	for range mostCopies + 1 {
		if err := begins(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.home, "put"), 0o755); err != nil {
		t.Fatal(err)
	}
	for n := range mostCopies + 1 {
		r, w := io.Pipe()
		sending.Go(func() { _ = s.Put(ctx, fmt.Sprint("put/", n), 0, r) })
		if _, err := io.WriteString(w, "some"); err != nil {
			t.Fatal(err)
		}
		context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	}
	for until := time.Now().Add(patience); len(strings.Fields(entries(t, filepath.Join(s.home, "put")))) <= mostCopies; { // each has a file
		if time.Now().After(until) {
			t.Fatalf("of %d that send there are only %s", mostCopies+1, entries(t, filepath.Join(s.home, "put")))
		}
	}
	if err := begins(); err != nil {
		t.Error(err)
	}
}

func TestTar(t *testing.T) {
	s := newSandbox(t)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	content := strings.Repeat("x", 3<<20)
	for _, h := range []*tar.Header{{Typeflag: tar.TypeDir, Name: "tree/", Mode: 0o755}, {Typeflag: tar.TypeReg, Name: "tree/file", Mode: 0o751, Size: int64(len(content))}, {Typeflag: tar.TypeFifo, Name: "tree/fifo"}} {
		w.WriteHeader(h)
		if h.Size > 0 {
			io.WriteString(w, content)
		}
	}
	w.Close()
	whole := archive.Bytes()
	notes, err := s.TarIn(t.Context(), "new", false, bytes.NewReader(whole))
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "fifo") {
		t.Fatal(notes, err)
	}
	if b, err := os.ReadFile(filepath.Join(s.home, "new/file")); err != nil || string(b) != content {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := s.TarIn(t.Context(), "half", false, bytes.NewReader(whole[:1<<20])); err == nil || !strings.Contains(err.Error(), "ends too early") {
		t.Errorf("half an archive: %v", err)
	}
	if _, err := s.TarIn(t.Context(), "/proc/none", false, bytes.NewReader(whole)); err == nil {
		t.Error("it was unpacked in /proc")
	}
	p, err := s.TarOut(t.Context(), "new", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var names []string
	for r := tar.NewReader(p); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names = append(names, h.Name)
	}
	notes, err = p.End()
	if strings.Join(names, " ") != "new/ new/file" || len(notes) != 0 || err != nil {
		t.Errorf("out came %v, %v, %v", names, notes, err)
	}
}

// TestTarThatIsCalledOff leaves nothing that is not whole, by the time that the client returns.
func TestTarThatIsCalledOff(t *testing.T) {
	s := newSandbox(t)
	r, w := io.Pipe()
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	ended := make(chan error, 1)
	go func() {
		_, err := s.TarIn(ctx, "dir", false, r)
		ended <- err
	}()
	out := tar.NewWriter(w)
	out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "dir/", Mode: 0o755})
	out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "dir/file", Mode: 0o644, Size: 1 << 30})
	io.WriteString(out, strings.Repeat("x", 8<<20))
	off := errors.New("called off")
	stop(off)
	w.CloseWithError(off)
	if err := <-ended; !errors.Is(err, off) {
		t.Errorf("it ended with %v", err)
	}
	if names := entries(t, filepath.Join(s.home, "dir")); names != "" {
		t.Errorf("it has left %s", names)
	}
}

func TestWatch(t *testing.T) {
	s := newSandbox(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	// The watch is there when it tells of this directory; until then it is made again and again.
	go func() {
		for ctx.Err() == nil {
			_ = os.Mkdir(filepath.Join(s.home, "first"), 0o755)
			_ = os.Remove(filepath.Join(s.home, "first"))
		}
	}()
	var once bool
	var seen []string
	err := s.WatchFiles(t.Context(), s.home, func(c execapi.Change) error {
		if !once {
			once = true
			stop()
			go func() {
				_ = os.WriteFile(filepath.Join(s.home, "file"), []byte("x"), 0o644)
				_ = os.Rename(filepath.Join(s.home, "file"), filepath.Join(s.home, "other"))
				_ = os.Remove(filepath.Join(s.home, "other"))
			}()
		}
		if c.Name == "file" || c.Name == "other" {
			seen = append(seen, c.Kind+" "+c.Name)
		}
		if c.Kind == "removed" && c.Name == "other" {
			return io.EOF
		}
		return nil
	})
	if got := strings.Join(seen, ", "); !errors.Is(err, io.EOF) || got != "created file, written file, moved-from file, moved-to other, removed other" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestPorts: on each loopback of this machine a port is listed and reached, and each direction ends by itself.
func TestPorts(t *testing.T) {
	s := newSandbox(t)
	for _, loopback := range loopbacks(t) {
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		list, err := s.Ports(t.Context())
		if err != nil || !slices.Contains(list, execapi.Port{Port: port, Address: loopback}) {
			t.Errorf("%d of %s is not among %v, %v", port, loopback, list, err)
		}
		go answerOnce(l)
		c, r, err := s.Connect(t.Context(), port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "question")
		if err := c.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "got question" {
			t.Errorf("%s: %q, %v", loopback, got, err)
		}
		l.Close()
		if _, _, err := s.Connect(t.Context(), port); !errors.Is(err, execapi.ErrNotFound) || !strings.Contains(err.Error(), "nothing listens on port") {
			t.Errorf("a port that nothing listens on: %v", err)
		}
	}
}

// loopbacks are 127.0.0.1 and, where the kernel has it, ::1.
func loopbacks(t *testing.T) (list []string) {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && (n.IP.Equal(net.IPv4(127, 0, 0, 1)) || n.IP.Equal(net.IPv6loopback)) {
			list = append(list, n.IP.String())
		}
	}
	if !slices.Contains(list, "127.0.0.1") {
		t.Fatalf("this machine has no loopback among %v", addresses)
	}
	return list
}

// answerOnce reads one connection to the end of its direction, and then answers.
func answerOnce(l net.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	got, _ := io.ReadAll(c)
	fmt.Fprintf(c, "got %s", got)
}

func TestListening(t *testing.T) {
	const tables = `  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 00000000:0016 00000000:0000 0A 00000000:00000000
   2: 0100007F:1F91 0100007F:1F90 01 00000000:00000000
   3: 0200A8C0:0050 00000000:0000 0A 00000000:00000000
   4: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0
   5: zz:0BB8 0 0A
short
`
	if got := fmt.Sprint(listening(strings.NewReader(tables))); got != "[{8080 127.0.0.1} {22 0.0.0.0} {3000 ::1}]" {
		t.Error(got)
	}
}

// FuzzFileRequests: every path and every mode has one answer, and nothing above the directory is touched by
// names that stay in it.
func FuzzFileRequests(f *testing.F) {
	f.Add("a", "644", "1")
	f.Add("../x\x00", "99", "-1")
	f.Fuzz(func(t *testing.T, path, mode, number string) {
		r := request(path, mode, number)
		p, err := asked{r}.path("path")
		if err == nil && (p != path || strings.ContainsRune(p, 0)) {
			t.Errorf("%q came as %q", path, p)
		}
		if m, err := (asked{r}).mode(0); err == nil && m > 0o7777 {
			t.Errorf("%q is the mode %o", mode, m)
		}
		_, _ = asked{r}.number("offset", 0)
	})
}

func request(path, mode, number string) *http.Request {
	q := url.Values{"path": {path}, "mode": {mode}, "offset": {number}}
	return &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/v1/files/stat", RawQuery: q.Encode()}}
}

// TestConnectReachesTheLoopbackAlone: the server refuses every other name.
func TestConnectReachesTheLoopbackAlone(t *testing.T) {
	s := newSandbox(t)
	for _, host := range []string{"127.0.0.1:80", "169.254.169.254:80", "example.com:80", "localhost:0", "localhost:65536", "localhost:x", "localhost", "[::1]:80", "localhost.:80"} {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", host)
		answer, _ := io.ReadAll(io.LimitReader(c, 15))
		c.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
			t.Errorf("%s: %q", host, answer)
		}
	}
}
