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
	cmd                          *exec.Cmd
	address                      string
	accessKey, secretKey, region string
}

func startServer(binary, data string) (*server, error) {
	cmd := exec.Command(binary, "s3", "--data", data, "--listen", "127.0.0.1:0", "--json", "--bucket", bucket, "--parent-pid", strconv.Itoa(os.Getpid()))
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
		if json.Unmarshal(lines.Bytes(), &ready) == nil && ready.Event == "s3_ready" {
			go func() {
				for lines.Scan() {
				}
			}()
			return &server{cmd, strings.TrimPrefix(ready.Endpoint, "http://"), ready.AccessKey, ready.SecretKey, ready.Region}, nil
		}
	}
	_ = cmd.Wait()
	return nil, fmt.Errorf("the embedded S3 did not start: %s", stderr.String())
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// env is the environment in which every peer finds the credentials, and no configuration but these.
func (s *server) env(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "TMPDIR=" + os.TempDir(),
		"AWS_ACCESS_KEY_ID=" + s.accessKey, "AWS_SECRET_ACCESS_KEY=" + s.secretKey, "AWS_REGION=" + s.region,
		"AWSACCESSKEYID=" + s.accessKey, "AWSSECRETACCESSKEY=" + s.secretKey,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
	}
}
