package s3process_test

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/internal/s3process"
	"github.com/matrx/sandbox/internal/testbed"
)

func TestServerIsStartedAndEnded(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		cmd := s3process.Command(s3process.Options{
			Program: testbed.Binary(t, "cmd/sandbox"), Data: filepath.Join(t.TempDir(), "data"), Listen: []string{"127.0.0.1:0"},
			AccessKey: "the-key", SecretKey: "the-secret",
		})
		p, err := s3process.Start(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.Endpoint, "http://127.0.0.1:") || p.AccessKey != "the-key" || p.SecretKey != "the-secret" || p.Region == "" {
			t.Errorf("it says %+v", p)
		}
		p.End(sig)
		if cmd.ProcessState == nil {
			t.Errorf("End returned after %v, and its process has not been waited for", sig)
		}
	}
}

// A program that prints other lines first, more than one ready line, or none.
func TestStartWaitsForTheReadyLine(t *testing.T) {
	const ready = `echo starting; echo '{"event":"other","endpoint":"no"}'; echo '{"event":"s3_ready","endpoint":"unix:///s"}'; for n in 1 2 3; do echo '{"event":"s3_ready","endpoint":"unix:///again"}'; done; `
	p, err := s3process.Start(t.Context(), exec.Command("sh", "-c", ready+"exec yes"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Endpoint != "unix:///s" {
		t.Errorf("it listens on %s", p.Endpoint)
	}
	p.End(syscall.SIGTERM)

	if _, err := s3process.Start(t.Context(), exec.Command("sh", "-c", "echo no room >&2; exit 3")); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no room") {
		t.Errorf("one that ends: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := s3process.Start(ctx, exec.Command("sleep", "1000")); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("one that hangs: %v", err)
	}
}
