package testbed

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/wire"
)

// Server is the embedded S3 as a child process. It ends with the test.
type Server struct {
	Endpoint  string // http://127.0.0.1:PORT; the same after a Restart
	Socket    string // unix://PATH, the same server
	AccessKey string
	SecretKey string
	Region    string
	Data      string // its directory

	t       testing.TB
	binary  string
	dir     string
	buckets int

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	stderr *tail
}

// startTime bounds the start of the server: it takes some 70 ms alone, much more on a
// machine whose cores are all at work.
const startTime = 60 * time.Second

// S3 starts a server with a directory and credentials of its own.
func S3(t testing.TB) *Server {
	t.Helper()
	// Not t.TempDir: its path has the test's name in it, and a socket's path is short.
	dir, err := os.MkdirTemp("", "s3-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, binary: Binary(t, "cmd/sandbox"), dir: dir, Data: filepath.Join(dir, "data"), Socket: "unix://" + filepath.Join(dir, "s")}
	t.Cleanup(func() { s.Kill(); _ = os.RemoveAll(dir) })
	s.start()
	return s
}

func (s *Server) start() {
	s.t.Helper()
	listen := "127.0.0.1:0"
	if s.Endpoint != "" {
		listen = strings.TrimPrefix(s.Endpoint, "http://")
	}
	args := []string{"s3", "--data", s.Data, "--listen", listen, "--listen", s.Socket, "--json", "--parent-pid", strconv.Itoa(os.Getpid())}
	cmd := exec.Command(s.binary, args...)
	if s.AccessKey != "" {
		cmd.Args = append(cmd.Args, "--access-key", s.AccessKey)
		cmd.Env = append(os.Environ(), "SANDBOX_S3_SECRET_KEY="+s.SecretKey)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stderr := new(tail)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("cannot start %s: %v", s.binary, err)
	}
	exited := make(chan struct{})
	ready := make(chan string, 1)
	go func() {
		defer close(exited)
		r := bufio.NewReader(out)
		for {
			line, err := r.ReadString('\n')
			if strings.Contains(line, `"s3_ready"`) {
				ready <- line
			}
			if err != nil {
				break
			}
		}
		_ = cmd.Wait()
	}()
	s.mu.Lock()
	s.cmd, s.exited, s.stderr = cmd, exited, stderr
	s.mu.Unlock()

	timer := time.NewTimer(startTime)
	defer timer.Stop()
	select {
	case line := <-ready:
		s.read(line)
	case <-exited:
		s.t.Fatalf("%s ended before it was ready: %v\n%s", strings.Join(cmd.Args, " "), cmd.ProcessState, stderr)
	case <-timer.C:
		_ = cmd.Process.Kill()
		s.t.Fatalf("%s is not ready after %v\n%s", strings.Join(cmd.Args, " "), startTime, stderr)
	}
}

func (s *Server) read(line string) {
	var info struct {
		Endpoint  string `json:"endpoint"`
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
		Region    string `json:"region"`
	}
	if err := json.Unmarshal([]byte(line), &info); err != nil {
		s.t.Fatalf("what the server says when it is ready: %v in %q", err, line)
	}
	s.Endpoint, s.AccessKey, s.SecretKey, s.Region = info.Endpoint, info.AccessKey, info.SecretKey, info.Region
}

// PID is the server's process.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Kill ends the server with SIGKILL and returns when it is gone. Its data stays.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server with SIGTERM and returns when it is gone.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	cmd, exited := s.cmd, s.exited
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(sig) // one that has ended is what we want
	<-exited
}

// Restart starts the server again after Kill or Stop, at the same address with the same
// data and credentials.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// Credentials are the server's, as PID 1 hands them over.
func (s *Server) Credentials() wire.Credentials {
	return wire.Credentials{Env: map[string]string{"AWS_ACCESS_KEY_ID": s.AccessKey, "AWS_SECRET_ACCESS_KEY": s.SecretKey}}
}

// CredentialsFile writes the server's credentials as an AWS shared-credentials file.
func (s *Server) CredentialsFile() string {
	s.t.Helper()
	f := filepath.Join(s.t.TempDir(), "credentials")
	WriteCredentials(s.t, f, s.AccessKey, s.SecretKey, "")
	return f
}

// WriteCredentials writes a shared-credentials file, by rename, as whoever rotates credentials should.
func WriteCredentials(t testing.TB, path, access, secret, token string) {
	t.Helper()
	content := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret)
	if token != "" {
		content += "aws_session_token = " + token + "\n"
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// address is where the server listens, for a dialer.
func (s *Server) address() string { return strings.TrimPrefix(s.Endpoint, "http://") }

// tail keeps the end of what a process wrote.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var _ io.Writer = (*tail)(nil)

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if over := w.buf.Len() - 16<<10; over > 0 {
		w.buf.Next(over)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// FreeAddress is a loopback address on which nobody listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
