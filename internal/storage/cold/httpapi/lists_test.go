package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/control"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/wire"
)

// patience bounds what a test waits for, on a machine that others use too.
const patience = 30 * time.Second

// pages is a store of keys that need not exist: a hundred thousand objects take minutes to make, and
// what is tested is how their list is asked for. Everything but a LIST is a 404.
type pages struct {
	keys int
	page func(r *http.Request, n int64) // called at the nth LIST before it is answered; may be nil
	n    atomic.Int64
}

// keyOf is the ith key below the cold prefix: a hundred in each directory.
func keyOf(i int) string { return fmt.Sprintf("d%05d/file-%02d", i/100, i%100) }

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !q.Has("list-type") {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchKey</Code></Error>")
		return
	}
	if n := p.n.Add(1); p.page != nil {
		p.page(r, n)
	}
	const size = 1000
	from := 0
	fmt.Sscanf(q.Get("continuation-token"), "%d", &from)
	fmt.Fprintf(w, "<ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", from+size < p.keys, from+size)
	for i := from; i < min(p.keys, from+size); i++ {
		fmt.Fprintf(w, `<Contents><Key>users/u1/cold/%s</Key><Size>5</Size><ETag>"%032x"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`, keyOf(i), i)
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

// served is the cold path of a sandbox behind a real control socket.
type served struct {
	tree   *cold.FS
	server *control.Server
	socket string
	t      *testing.T
}

type nothing struct{}

func (nothing) Status() contract.StorageStatus { return contract.StorageStatus{} }
func (nothing) Checkpoint(context.Context) (contract.Checkpoint, error) {
	return contract.Checkpoint{}, nil
}

func serve(t *testing.T, p *pages) *served {
	t.Helper()
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	c := &config.Config{SandboxID: "sb", UserID: "u1", ColdPath: "/data/cold", StateDir: t.TempDir(), RunDir: t.TempDir()}
	c.S3 = config.S3{Bucket: "b", Region: "r", Endpoint: srv.URL, Prefix: "users/", ForcePathStyle: true}
	c.Cold = config.Cold{MetadataTTL: time.Minute, CacheMaxBytes: 1 << 20}
	store, err := objectstore.Open(t.Context(), objectstore.Options{S3: c.S3, Credentials: wire.Credentials{Env: map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	tree, err := cold.New(cold.Options{Config: c, Store: store, Fence: lease.None{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	server, err := control.Serve(c.RunDir, nothing{}, Handler(tree), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return &served{tree: tree, server: server, socket: filepath.Join(c.RunDir, contract.ControlSocketName), t: t}
}

// ask sends a request, of which the answer is read from the connection.
func (s *served) ask(path string, query url.Values) net.Conn {
	s.t.Helper()
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s?%s HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n\r\n", path, query.Encode())
	return conn
}

func (s *served) list() net.Conn {
	return s.ask(contract.ControlColdListPath, url.Values{"recursive": {"1"}})
}

// await waits for a thing that happens.
func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %s", what, patience)
	}
}

// A list that its client has abandoned asks S3 for no more pages.
func TestAbandonedListEnds(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	p := &pages{keys: 100_000}
	p.page = func(r *http.Request, n int64) {
		if n == 3 {
			close(asked)
			<-r.Context().Done() // the storage process hangs up
			close(gone)
		}
	}
	s := serve(t, p)
	one, other := s.list(), s.list()
	await(t, "the third page is asked for", asked)
	one.Close()
	other.Close()
	await(t, "the list ends", gone)
	// The next one is made anew, whether the first has ended by then or not.
	if n := entriesOf(t, s.list()); n != 101_000 {
		t.Errorf("%d entries", n)
	}
}

// entriesOf reads a list to its end.
func entriesOf(t *testing.T, conn net.Conn) (n int) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; n++ {
		var e contract.ColdEntry
		if err := dec.Decode(&e); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("HTTP %d, after %d entries: %v", resp.StatusCode, n, err)
		}
		if e.End {
			return n
		}
	}
}

// The entries are made while the client takes them: what is not taken takes no memory.
func TestListIsMadeWhileItIsTaken(t *testing.T) {
	s := serve(t, &pages{keys: 20_000})
	conn := s.list()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// The socket holds some hundred kilobytes of some three megabytes.
	if _, err := s.tree.Put(t.Context(), cold.PutRequest{Path: "d00199/z-last", Body: strings.NewReader("x"), Mode: -1}); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(all), `"path":"d00199/z-last"`) {
		t.Errorf("a file that was made while the list was taken is not in it (%d bytes, %v)", len(all), err)
	}
}

// Of each class of clients two lists run and eight wait. The rest is refused, and other requests are answered.
func TestListsAtATimeAreBounded(t *testing.T) {
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	asked := make(chan struct{}, 100)
	p := &pages{keys: 10, page: func(*http.Request, int64) { asked <- struct{}{}; <-release }}
	s := serve(t, p)
	codes := make(chan int, 13)
	for range cap(codes) {
		conn := s.ask(contract.ControlColdKeysPath, nil)
		go func() {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				codes <- 0
				return
			}
			codes <- resp.StatusCode
			resp.Body.Close()
		}()
	}
	count := func(n int) (ok, refused, other int) {
		for range n {
			select {
			case code := <-codes:
				switch code {
				case http.StatusOK:
					ok++
				case http.StatusServiceUnavailable:
					refused++
				default:
					other++
				}
			case <-time.After(patience):
				t.Fatalf("no answer; so far %d ok, %d refused, %d other, %d LISTs", ok, refused, other, len(asked))
			}
		}
		return ok, refused, other
	}
	if ok, refused, other := count(3); refused != 3 {
		t.Errorf("the first answers: %d ok, %d refused, %d other", ok, refused, other)
	}
	if n := len(asked); n > 2 {
		t.Errorf("%d lists run at a time", n)
	}
	status := s.ask(contract.ControlStatusPath, nil)
	if resp, err := http.ReadResponse(bufio.NewReader(status), nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the status: %v, %v", resp, err)
	}
	free()
	if ok, refused, other := count(10); ok != 10 {
		t.Errorf("the others: %d ok, %d refused, %d other", ok, refused, other)
	}
}

// A list gives way to what is to be saved: at the drain for the moment, at the flush for good.
func TestListsGiveWay(t *testing.T) {
	ended := make(chan struct{}, 10)
	asked := make(chan struct{}, 10)
	var free atomic.Bool
	p := &pages{keys: 10}
	p.page = func(r *http.Request, _ int64) {
		if free.Load() {
			return
		}
		asked <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}
	s := serve(t, p)
	code := func(conn net.Conn) int {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK && !strings.Contains(string(body), "the sandbox is stopping") {
			t.Errorf("%s", body)
		}
		return resp.StatusCode
	}
	conn := s.list()
	await(t, "the list runs", asked)
	s.server.GiveWayToDrain()
	await(t, "the list ends", ended)
	if c := code(conn); c != http.StatusServiceUnavailable {
		t.Errorf("a list that gave way: HTTP %d", c)
	}
	free.Store(true)
	if c := code(s.list()); c != http.StatusOK {
		t.Errorf("a list while the sandbox drains: HTTP %d", c)
	}
	s.server.GiveWayToFlush()
	if c := code(s.list()); c != http.StatusServiceUnavailable {
		t.Errorf("a list while the sandbox flushes: HTTP %d", c)
	}
}

// A body where none belongs is refused: the server would not see that its client has gone until it has come.
func TestBodyThatDoesNotComeIsRefused(t *testing.T) {
	s := serve(t, &pages{keys: 10})
	for _, target := range []string{
		"GET " + contract.ControlColdListPath, "GET " + contract.ControlColdKeysPath, "GET " + contract.ControlStatusPath,
		"DELETE " + contract.ControlColdFilePath + "?path=x", "POST " + contract.ControlColdSyncPath, "POST " + contract.ControlCheckpointPath,
		"PUT " + contract.ControlColdFilePath + "?path=x&kind=dir", "PUT " + contract.ControlColdFilePath + "?path=x&kind=symlink&target=y",
	} {
		conn, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: sandbox\r\nContent-Length: 1\r\n\r\n", target)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", target, err)
		} else if resp.Body.Close(); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: HTTP %d", target, resp.StatusCode)
		}
		conn.Close()
	}
}
