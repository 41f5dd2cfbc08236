// Package scaffold is what the benchmarks of the storage paths stand on: the embedded S3 as a process,
// and this program itself as the storage process of a sandbox, which is measured like any peer.
package scaffold

import (
	"context"
	"os"
	"strings"
	"syscall"

	"github.com/matrx/sandbox/internal/s3process"
)

// Server is the embedded S3 as a process. Address is HOST:PORT.
type Server struct {
	*s3process.Process
	Address string
}

// StartServer starts `sandbox s3` with these buckets and returns when it answers.
func StartServer(ctx context.Context, sandbox, data string, buckets ...string) (*Server, error) {
	p, err := s3process.Start(ctx, s3process.Command(s3process.Options{Program: sandbox, Data: data, Listen: []string{"127.0.0.1:0"}, Buckets: buckets}))
	if err != nil {
		return nil, err
	}
	return &Server{p, strings.TrimPrefix(p.Endpoint, "http://")}, nil
}

// Stop ends the server.
func (s *Server) Stop() { s.End(syscall.SIGTERM) }

// Env is the environment in which every peer finds the server's credentials, and no configuration
// but these.
func (s *Server) Env(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "TMPDIR=" + os.TempDir(),
		"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey, "AWS_REGION=" + s.Region, "AWS_DEFAULT_REGION=" + s.Region,
		"AWSACCESSKEYID=" + s.AccessKey, "AWSSECRETACCESSKEY=" + s.SecretKey, // s3fs
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}
}
