package main

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

// server is the embedded S3 as a process.
type server struct {
	cmd                  *exec.Cmd
	address              string
	accessKey, secretKey string
	region               string
}

func startServer(binary, data string) (*server, error) {
	args := []string{"s3", "--data", data, "--listen", "127.0.0.1:0", "--json", "--parent-pid", strconv.Itoa(os.Getpid())}
	for n := range buckets {
		args = append(args, "--bucket", fmt.Sprintf("bench-%d", n+1))
	}
	cmd := exec.Command(binary, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var ready struct {
			Event, Endpoint, Region string
			AccessKey               string `json:"access_key"`
			SecretKey               string `json:"secret_key"`
		}
		if json.Unmarshal(lines.Bytes(), &ready) == nil && ready.Event == "s3_ready" {
			s.address = strings.TrimPrefix(ready.Endpoint, "http://")
			s.accessKey, s.secretKey, s.region = ready.AccessKey, ready.SecretKey, ready.Region
			go func() {
				for lines.Scan() {
				}
			}()
			return s, nil
		}
	}
	_ = cmd.Wait()
	return nil, fmt.Errorf("the embedded S3 did not start: %s", stderr.String())
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// env is the environment in which every peer finds the server's credentials, and no
// configuration but these.
func (s *server) env(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "TMPDIR=" + os.TempDir(),
		"AWS_ACCESS_KEY_ID=" + s.accessKey, "AWS_SECRET_ACCESS_KEY=" + s.secretKey, "AWS_REGION=" + s.region, "AWS_DEFAULT_REGION=" + s.region,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}
}

// newBucket makes an unused bucket.
func (l *lab) newBucket() string {
	l.bucket++
	return fmt.Sprintf("bench-%d", l.bucket)
}

// buckets is how many the server has from the start.
const buckets = 100
