//go:build stores

package stores

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// store is a server that runs.
type store struct {
	Server
	endpoint, access, secret string
}

const region = "us-east-1"

// startTime bounds the start of a server: radosgw makes its pools first.
const startTime = 3 * time.Minute

// child runs a server until the test ends. It is there once it answers HTTP.
func child(t *testing.T, addr string, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // none has anything to keep
		<-ended
		if t.Failed() {
			t.Logf("the server said:\n%s", out.String())
		}
	})
	for deadline := time.Now().Add(startTime); ; {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", strings.Join(cmd.Args, " "), out.String())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing answers at %s:\n%s", addr, out.String())
		}
	}
}

func (s *store) sdk() *s3.Client {
	return s3.New(s3.Options{Region: region, BaseEndpoint: aws.String(s.endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.access, s.secret, ""),
		// What an older server knows too.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired})
}

// bucket makes the bucket of the run. A server that has just begun to answer may refuse for a while.
func (s *store) bucket(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("matrix-%d", time.Now().UnixNano())
	var err error
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err = s.sdk().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
		cancel()
		if err == nil {
			return name
		}
	}
	t.Fatalf("cannot make a bucket: %v", err)
	return ""
}
