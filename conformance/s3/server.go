package s3

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/matrx/sandbox/internal/host/hostd/s3server"
	"github.com/matrx/sandbox/internal/s3process"
)

// Server is the embedded S3 in a process of its own: its backend changes the working
// directory of the process that it is in, and it can be killed.
type Server struct {
	Socket    string
	AccessKey string
	SecretKey string
	Region    string

	process *s3process.Process
}

// Bucket is the one bucket of the suite.
const Bucket = "conformance"

// Command is the suite's subcommand that is Serve.
const Command = "s3"

// Start runs `program s3 DIR LOCK`, which must be the suite's own program, and waits until
// it serves. It holds a shared lock on the file LOCK as long as it lives.
func Start(ctx context.Context, program, dir, lock string) (*Server, error) {
	cmd := exec.Command(program, Command, dir, lock)
	// A group of its own: Ctrl-C in a terminal is meant for the suite, which ends its servers.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The child ends at the end of its input, which comes with the end of this process, even by SIGKILL.
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("cannot start the suite's S3: %w", err)
	}
	p, err := s3process.Start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return &Server{Socket: filepath.Join(dir, "s3.sock"), AccessKey: p.AccessKey, SecretKey: p.SecretKey, Region: p.Region, process: p}, nil
}

// Close ends the server.
func (s *Server) Close() { s.process.End(syscall.SIGKILL) }

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
		Ready:   func(i s3server.Info) { _ = i.WriteReady(os.Stdout) }, // a parent that has ended needs no answer
	})
}
