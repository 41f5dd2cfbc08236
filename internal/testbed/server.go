package testbed

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/s3process"
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

	mu      sync.Mutex
	process *s3process.Process
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
	ctx, cancel := context.WithTimeoutCause(context.Background(), startTime, fmt.Errorf("it took more than %v", startTime))
	defer cancel()
	p, err := s3process.Start(ctx, s3process.Command(s3process.Options{
		Program: s.binary, Data: s.Data, Listen: []string{listen, s.Socket}, AccessKey: s.AccessKey, SecretKey: s.SecretKey,
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	s.Endpoint, s.AccessKey, s.SecretKey, s.Region = p.Endpoint, p.AccessKey, p.SecretKey, p.Region
}

// PID is the server's process.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.PID()
}

// Kill ends the server with SIGKILL and returns when it is gone. Its data stays.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server with SIGTERM and returns when it is gone.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	p := s.process
	s.mu.Unlock()
	if p != nil {
		p.End(sig)
	}
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

// WriteCredentials writes a shared-credentials file, by rename, as a program that rotates credentials should.
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

// FreeAddress is a loopback address on which nothing listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
