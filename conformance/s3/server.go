package s3

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/matrx/sandbox/internal/host/hostd/s3server"
)

// Server is the embedded S3 in a process of its own: its backend changes the working
// directory of the process that it is in, and it can be killed.
type Server struct {
	Socket    string
	AccessKey string
	SecretKey string
	Region    string

	dir string
	cmd *exec.Cmd
	out bytesUnderLock
}

// Bucket is the one bucket of the suite.
const Bucket = "conformance"

// Command is the suite's subcommand that is Serve.
const Command = "s3"

// Start runs `program s3 DIR LOCK`, which must be the suite's own program, and waits until
// it serves. It holds a shared lock on the file LOCK as long as it lives.
func Start(ctx context.Context, program, dir, lock string) (*Server, error) {
	s := &Server{dir: dir}
	s.cmd = exec.Command(program, Command, dir, lock)
	// A group of its own: Ctrl-C in a terminal is meant for the suite, which ends its servers.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Stderr = &s.out
	// The child ends at the end of its input: when this process has ended, however.
	if _, err := s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("cannot start the suite's S3: %w", err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start the suite's S3: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the suite's S3: %w", err)
	}
	ready := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(stdout).ReadBytes('\n')
		if err == nil {
			var info s3server.Info
			if err = json.Unmarshal(line, &info); err == nil {
				s.AccessKey, s.SecretKey, s.Region = info.AccessKey, info.SecretKey, info.Region
			}
		}
		ready <- err
		_, _ = io.Copy(io.Discard, stdout) // so that it never blocks on a full pipe
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot start the suite's S3: %w: %s", err, s.out.String())
	}
	s.Socket = filepath.Join(dir, "s3.sock")
	return s, nil
}

// Close ends the server.
func (s *Server) Close() error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = s.cmd.Wait() // it was killed: its status says nothing
	return nil
}

// Serve is the child: it serves until its standard input or ctx ends.
func Serve(ctx context.Context, dir string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return s3server.Serve(ctx, s3server.Options{
		Data:    filepath.Join(dir, "data"),
		Listen:  []string{"unix://" + filepath.Join(dir, "s3.sock")},
		Buckets: []string{Bucket},
		Ready:   func(i s3server.Info) { _ = json.NewEncoder(os.Stdout).Encode(i) },
	})
}

type bytesUnderLock struct {
	mu   sync.Mutex
	data []byte
}

func (b *bytesUnderLock) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	return len(p), nil
}

func (b *bytesUnderLock) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}
