// Package scaffold is what the benchmarks of the storage paths stand on: the embedded S3 as a process,
// and this program itself as the storage process of a sandbox, which is measured like any peer.
package scaffold

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Server is the embedded S3 as a process. Address is HOST:PORT.
type Server struct {
	Address, AccessKey, SecretKey, Region string

	cmd *exec.Cmd
}

// StartServer starts `sandbox s3` with these buckets and returns when it answers.
func StartServer(sandbox, data string, buckets ...string) (*Server, error) {
	args := []string{"s3", "--data", data, "--listen", "127.0.0.1:0", "--json", "--parent-pid", strconv.Itoa(os.Getpid())}
	for _, b := range buckets {
		args = append(args, "--bucket", b)
	}
	cmd := exec.Command(sandbox, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var ready struct {
			Event, Endpoint, Region string
			AccessKey               string `json:"access_key"`
			SecretKey               string `json:"secret_key"`
		}
		if json.Unmarshal(lines.Bytes(), &ready) != nil || ready.Event != "s3_ready" {
			continue
		}
		go func() {
			for lines.Scan() {
			}
		}()
		return &Server{strings.TrimPrefix(ready.Endpoint, "http://"), ready.AccessKey, ready.SecretKey, ready.Region, cmd}, nil
	}
	_ = cmd.Wait()
	return nil, fmt.Errorf("the embedded S3 did not start: %s", stderr.String())
}

// Stop ends the server.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

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
