package cold_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/storage/cold"
	"github.com/matrx/sandbox/internal/storage/cold/fusefs"
	"github.com/matrx/sandbox/internal/storage/cold/httpapi"
	"github.com/matrx/sandbox/internal/storage/lease"
	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// The file system under test is served by a process of its own, this test binary in another
// role: as in a sandbox it can be killed, and a program that waits for it never waits for
// itself.
const serveRole = "COLD_TEST_SERVE"

type serveConfig struct {
	Config      config.Config
	Credentials wire.Credentials
	Patience    time.Duration
	Quiet       time.Duration
	Socket      string
	Mounted     bool // descriptor 3 is the mount's
	PartSize    int64
	Parts       int
	Unprobed    bool  // what the store honours is not asked
	MaxCopy     int64 // what one request copies; 0: as S3 does
}

func TestMain(m *testing.M) {
	if c := os.Getenv(serveRole); c != "" {
		if err := serve(c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := ownMounts(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serve(text string) error {
	var c serveConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	if c.MaxCopy > 0 {
		cold.SetMaxCopy(c.MaxCopy)
	}
	level := slog.LevelInfo
	if os.Getenv("COLD_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	l := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	store, err := objectstore.Open(ctx, objectstore.Options{S3: c.Config.S3, Credentials: c.Credentials, Log: l, PartSize: c.PartSize, Parts: c.Parts})
	if err != nil {
		return err
	}
	if !c.Unprobed {
		if _, err := store.Probe(ctx, c.Config.UserPrefix()+contract.ProbePrefix); err != nil {
			l.Warn("cannot probe", "error", err)
		}
	}
	tree, err := cold.New(cold.Options{Config: &c.Config, Store: store, Fence: lease.None{}, Log: l, Patience: c.Patience, Quiet: c.Quiet})
	if err != nil {
		return err
	}
	os.Remove(c.Socket)
	ln, err := net.Listen("unix", c.Socket)
	if err != nil {
		return err
	}
	mux, endFlush := http.NewServeMux(), make(chan struct{})
	mux.HandleFunc("POST /flush/end", func(http.ResponseWriter, *http.Request) { endFlush <- struct{}{} })
	mux.Handle(contract.ControlColdPrefix, httpapi.Handler(tree))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(tree.Status()) })
	mux.HandleFunc("GET /extras", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(cold.Extras(tree)) })
	mux.HandleFunc("POST /index", func(http.ResponseWriter, *http.Request) { cold.ShareIndex(tree) })
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(store.Requests()) })
	mux.HandleFunc("POST /flush", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := time.ParseDuration(r.URL.Query().Get("for"))
		ctx, cancel := context.WithTimeout(r.Context(), ms)
		defer cancel()
		go func() {
			select {
			case <-endFlush:
				cancel()
			case <-ctx.Done():
			}
		}()
		json.NewEncoder(w).Encode(tree.Flush(ctx))
	})
	go http.Serve(ln, mux)
	if !c.Mounted {
		fmt.Println("ready")
		<-ctx.Done()
		return tree.Close()
	}
	if err := fusefs.Serve(ctx, tree, 3, l, func() { fmt.Println("ready") }); err != nil && ctx.Err() == nil {
		return err
	}
	defer func() {
		if !cold.NothingIsWritten() {
			l.Error("a node wrote to what all nodes share", "event", "cold_panic")
		}
	}()
	return tree.Close()
}

// bed is a bucket, what may stand between it and the file system, and the file system.
type bed struct {
	t      testing.TB
	bucket *testbed.Bucket
	proxy  *testbed.FaultProxy
	conf   serveConfig
	dir    string // of the mount
	state  string

	cmd    *exec.Cmd
	ended  chan error
	client *http.Client
	log    *bytes.Buffer
}

type option func(*bed)

func ttl(d time.Duration) option { return func(b *bed) { b.conf.Config.Cold.MetadataTTL = d } }
func cacheMax(n int64) option    { return func(b *bed) { b.conf.Config.Cold.CacheMaxBytes = n } }
func patience(d time.Duration) option {
	return func(b *bed) { b.conf.Patience = d }
}

// shortPatience is for tests in which S3 is away. What they ask of it while it is there has that long as well,
// on a busy machine too.
func shortPatience(b *bed) { b.conf.Patience = 2 * time.Second }

func quiet(d time.Duration) option { return func(b *bed) { b.conf.Quiet = d } }

// throughProxy puts a fault proxy between the file system and S3.
func throughProxy(b *bed) {
	b.proxy = testbed.Proxy(b.t, b.bucket.Server)
	b.conf.Config.S3 = b.proxy.Config(b.bucket)
}

const keys = "users/u1/cold/"

// newBed mounts the cold path of a new bucket.
func newBed(t testing.TB, opts ...option) *bed {
	t.Helper()
	b := &bed{t: t, bucket: testbed.S3(t).Bucket(t)}
	b.state = t.TempDir()
	top, err := os.MkdirTemp("", "cold-test-") // unlike t.TempDir, one that the agent may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	b.dir = filepath.Join(top, "cold")
	b.conf = serveConfig{Socket: filepath.Join(top, contract.ControlSocketName), Mounted: true, Credentials: b.bucket.Credentials()}
	c := &b.conf.Config
	c.SandboxID, c.UserID, c.ColdPath, c.StateDir = "sb", "u1", b.dir, b.state
	c.S3 = b.bucket.Config()
	c.S3.Prefix = "users/"
	c.Cold = config.Cold{MetadataTTL: 60 * time.Second, CacheMaxBytes: 4 << 30}
	b.conf.Quiet = 20 * time.Millisecond
	for _, o := range opts {
		o(b)
	}
	c.S3.Prefix = "users/"
	if err := os.Mkdir(b.dir, 0o555); err != nil {
		t.Fatal(err)
	}
	b.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.conf.Socket)
	}}}
	t.Cleanup(func() {
		b.stop()
		for _, bad := range []string{"WARNING: DATA RACE", "event=cold_panic", "goroutine 1 ["} {
			if i := strings.Index(b.log.String(), bad); i >= 0 {
				t.Errorf("the file system's process said:\n%.6000s", b.log.String()[i:])
			}
		}
		if t.Failed() {
			t.Logf("the file system said:\n%s", tail(b.log.String(), 6000))
		}
	})
	b.log = new(bytes.Buffer)
	b.start()
	return b
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// start mounts and serves, as PID 1 and the storage process do.
func (b *bed) start() {
	b.t.Helper()
	var extra []*os.File
	if b.conf.Mounted {
		fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			b.t.Fatalf("cannot open /dev/fuse: %v; run the tests as root on a machine with FUSE (modprobe fuse)", err)
		}
		f := os.NewFile(uintptr(fd), "/dev/fuse")
		defer f.Close()
		opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=1000,group_id=1000,default_permissions,allow_other", fd)
		if err := unix.Mount("cold", b.dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, opts); err != nil {
			b.t.Fatalf("cannot mount: %v; run the tests as root", err)
		}
		extra = append(extra, f)
	}
	text, err := json.Marshal(b.conf)
	if err != nil {
		b.t.Fatal(err)
	}
	b.cmd = exec.Command("/proc/self/exe")
	b.cmd.Env = append(os.Environ(), serveRole+"="+string(text))
	b.cmd.ExtraFiles = extra
	b.cmd.Stderr = b.log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	b.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) {
		io.Copy(io.Discard, out)
		ended <- cmd.Wait()
	}(b.cmd, b.ended)
	if err != nil || line != "ready\n" {
		b.t.Fatalf("it did not become ready: %q, %v\n%s", line, err, b.log)
	}
}

// stop unmounts; what was pending stays pending.
func (b *bed) stop() {
	if b.cmd == nil {
		return
	}
	if b.conf.Mounted {
		if err := unix.Unmount(b.dir, unix.MNT_DETACH); err != nil {
			b.t.Errorf("cannot unmount: %v", err)
		}
	}
	b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.ended:
	case <-time.After(60 * time.Second):
		b.cmd.Process.Signal(syscall.SIGQUIT)
		b.t.Errorf("it does not end: %v\n%s", <-b.ended, b.log)
	}
	b.cmd = nil
}

// forget removes what a sandbox has on its disk: the next start is another sandbox's.
func (b *bed) forget() {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.state, "cold-cache")); err != nil {
		b.t.Fatal(err)
	}
}

// kill is SIGKILL, and the unmounting that follows it.
func (b *bed) kill() {
	b.t.Helper()
	b.cmd.Process.Kill()
	<-b.ended
	b.detach()
}

// detach unmounts what a killed process left.
func (b *bed) detach() {
	b.t.Helper()
	if b.conf.Mounted {
		if err := unix.Unmount(b.dir, unix.MNT_DETACH); err != nil {
			b.t.Errorf("cannot unmount: %v", err)
		}
	}
	b.cmd = nil
}

func (b *bed) do(method, path string, body io.Reader, into any) error {
	req, err := http.NewRequest(method, "http://cold"+path, body)
	if err != nil {
		return err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return errors.New(string(text))
	}
	if into == nil {
		return nil
	}
	// The last line is what counts of several.
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return json.Unmarshal(lines[len(lines)-1], into)
}

// sync brings everything to S3.
func (b *bed) sync() {
	b.t.Helper()
	var p contract.ColdProgress
	if err := b.do("POST", contract.ControlColdSyncPath, nil, &p); err != nil {
		b.t.Fatal(err)
	}
	if !p.Done || p.UnsavedCount > 0 || p.PendingFiles > 0 {
		b.t.Fatalf("not everything is in S3: %+v", p)
	}
}

// flush is what a sandbox that ends does.
func (b *bed) flush() []contract.Unsaved {
	b.t.Helper()
	var u []contract.Unsaved
	if err := b.do("POST", "/flush?for=60s", nil, &u); err != nil {
		b.t.Fatal(err)
	}
	return u
}

func (b *bed) status() contract.ColdStatus {
	b.t.Helper()
	var s contract.ColdStatus
	if err := b.do("GET", "/status", nil, &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bed) requests() map[string]int64 {
	b.t.Helper()
	var r map[string]int64
	if err := b.do("GET", "/requests", nil, &r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// path is a path in the mount.
func (b *bed) path(name string) string { return filepath.Join(b.dir, name) }

// agent runs a program as the agent in the mount, and gives what it wrote.
func (b *bed) agent(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = b.dir
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: contract.AgentUID, Gid: contract.AgentGID}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sh runs a script as the agent in the mount, and fails the test when it fails.
func (b *bed) sh(script string) string {
	b.t.Helper()
	out, err := b.agent("bash", "-euo", "pipefail", "-c", script)
	if err != nil {
		b.t.Fatalf("%s\n%v: %s", script, err, out)
	}
	return strings.TrimRight(out, "\n")
}
