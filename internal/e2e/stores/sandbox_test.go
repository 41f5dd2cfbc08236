//go:build stores

package stores

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/testbed"
)

const agent = 1000

// sandbox is one sandbox-init with directories of its own.
type sandbox struct {
	t                *testing.T
	home, state, run string
	env              []string
	cmd              *exec.Cmd
	log              *lines
	in               io.Closer // of the command
	ended            chan struct{}
}

// world is what the cases of one server share.
type world struct {
	store  *store
	bucket string
	init   string // sandbox-init
}

// sandbox prepares one for a user; env is added.
func (w *world) sandbox(t *testing.T, user, id string, env ...string) *sandbox {
	t.Helper()
	root := open(t)
	dir := func(name string) string {
		d := filepath.Join(root, name)
		must(t, os.Mkdir(d, 0o755))
		must(t, os.Chown(d, agent, agent))
		return d
	}
	s := &sandbox{t: t, home: dir("home"), state: dir("state"), run: dir("run")}
	keys := filepath.Join(root, "credentials")
	testbed.WriteCredentials(t, keys, w.store.access, w.store.secret, "")
	must(t, os.Chown(keys, agent, agent))
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "SANDBOX_ID=" + id, "USER_ID=" + user, "HOT_PATH=" + s.home, "COLD_PATH=" + filepath.Join(root, "cold"),
		"SANDBOX_STATE_DIR=" + s.state, "SANDBOX_RUN_DIR=" + s.run, "SANDBOX_READY_FILE=" + filepath.Join(s.run, "ready"),
		"S3_BUCKET=" + w.bucket, "S3_ENDPOINT=" + w.store.endpoint, "S3_REGION=" + region, "S3_FORCE_PATH_STYLE=1", "S3_CREDENTIALS_FILE=" + keys,
		"SHUTDOWN_TIMEOUT_SECONDS=300", "HOME=" + s.home,
	}, env...)
	return s
}

// start returns once the sandbox is ready, or has ended.
func (s *sandbox) start(init string) (ready bool) {
	s.t.Helper()
	s.cmd = exec.Command(init, "--", "sh", "-c", "echo READY; exec cat")
	s.cmd.Env = s.env
	s.cmd.Dir = s.home
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: agent, Gid: agent}, Pdeathsig: syscall.SIGKILL}
	s.log = &lines{}
	s.cmd.Stderr = s.log
	// The command ends with its input: one whose supervisor is killed must not stay.
	in, err := s.cmd.StdinPipe()
	must(s.t, err)
	s.in = in
	out, err := s.cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, s.cmd.Start())
	s.ended = make(chan struct{})
	told := make(chan bool, 1)
	go func() {
		r := bufio.NewReader(out)
		line, err := r.ReadString('\n')
		told <- err == nil && strings.TrimSpace(line) == "READY"
		_ = s.cmd.Wait() // closes both pipes

		close(s.ended)
	}()
	s.t.Cleanup(s.kill)
	return <-told
}

// mustStart is start of one that has to become ready.
func (s *sandbox) mustStart(init string) {
	s.t.Helper()
	if !s.start(init) {
		s.t.Fatalf("it did not start: code %d\n%s", s.code(), s.log)
	}
}

// code waits for the end.
func (s *sandbox) code() int {
	<-s.ended
	return s.cmd.ProcessState.ExitCode()
}

// stop ends it as a supervisor does; its code must be that of a command that ended by SIGTERM.
func (s *sandbox) stop() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	if code := s.code(); code != 128+int(syscall.SIGTERM) {
		s.t.Fatalf("it ended with code %d\n%s", code, s.log)
	}
}

// kill ends it with nothing done.
func (s *sandbox) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.in.Close()
	<-s.ended
}

// ctl runs a command of sandbox-init in the sandbox.
func (s *sandbox) ctl(args ...string) (string, error) {
	cmd := exec.Command(s.cmd.Path, args...)
	cmd.Env, cmd.Dir = s.env, s.home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: agent, Gid: agent}}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("sandbox-init %s: %w\n%s%s", strings.Join(args, " "), err, errs.String(), out.String())
	}
	return out.String(), nil
}

func (s *sandbox) checkpoint() {
	s.t.Helper()
	if _, err := s.ctl("checkpoint"); err != nil {
		s.t.Fatalf("%v\n%s", err, s.log)
	}
}

func (s *sandbox) status() contract.StorageStatus {
	s.t.Helper()
	out, err := s.ctl("status", "--json")
	must(s.t, err)
	var r struct {
		Storage *contract.StorageStatus `json:"storage"`
	}
	must(s.t, json.Unmarshal([]byte(out), &r))
	if r.Storage == nil {
		s.t.Fatalf("no storage in %s", out)
	}
	return *r.Storage
}

// own gives a directory and everything in it to the agent.
func own(t *testing.T, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, agent, agent))
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines keeps the log of a sandbox.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
