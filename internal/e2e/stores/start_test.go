//go:build stores

package stores

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// The key of those that are started here, where they let it be chosen.
const (
	access = "testtest"
	secret = "testtestsecret"
)

// start starts a server, which ends with the test, or finds the one that is given.
func start(t *testing.T, s Server) *store {
	t.Helper()
	switch s.Name {
	case "versitygw":
		srv := testbed.S3(t)
		return &store{s, srv.Endpoint, srv.AccessKey, srv.SecretKey}
	case "gofakes3":
		return local(t, s, func(program, addr string) *exec.Cmd {
			return exec.Command(program, "-backend", "memory", "-host", addr)
		})
	case "minio":
		return local(t, s, func(program, addr string) *exec.Cmd { return minio(t, program, addr) })
	case "seaweedfs":
		return local(t, s, func(program, addr string) *exec.Cmd { return seaweedfs(t, program, addr) })
	case "ceph":
		return packaged(t, &store{s, "http://127.0.0.1:19310", access, secret})
	case "swift":
		return packaged(t, &store{s, "http://127.0.0.1:19320", "test:tester", "testing"})
	}
	o := &store{s, os.Getenv("STORE_ENDPOINT"), os.Getenv("STORE_ACCESS_KEY"), os.Getenv("STORE_SECRET_KEY")}
	if o.endpoint == "" {
		t.Fatal("the store \"other\" needs STORE_ENDPOINT, STORE_ACCESS_KEY and STORE_SECRET_KEY")
	}
	return o
}

// packaged starts a server of the tree of Debian packages, which is made first.
func packaged(t *testing.T, s *store) *store {
	t.Helper()
	run := filepath.Join(testbed.Root(), "scripts/stores/run.sh")
	said(t, exec.Command(run, "tree"))
	child(t, strings.TrimPrefix(s.endpoint, "http://"), exec.Command(run, s.Name))
	return s
}

// local starts a server that is a Go module.
func local(t *testing.T, s Server, command func(program, addr string) *exec.Cmd) *store {
	t.Helper()
	program, addr := built(t, s), testbed.FreeAddress(t)
	child(t, addr, command(program, addr))
	return &store{s, "http://" + addr, access, secret}
}

func minio(t *testing.T, program, addr string) *exec.Cmd {
	cmd := exec.Command(program, "server", "--quiet", "--address", addr, t.TempDir())
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+access, "MINIO_ROOT_PASSWORD="+secret, "MINIO_BROWSER=off", "MINIO_UPDATE=off")
	return cmd
}

// seaweedfs is master, volume server, filer and S3 in one process. It listens on nine ports, and tells its makers nothing.
func seaweedfs(t *testing.T, program, addr string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	identities := filepath.Join(dir, "identities.json")
	must(t, os.WriteFile(identities, fmt.Appendf(nil, `{"identities": [{"name": "t", "credentials": [{"accessKey": %q, "secretKey": %q}],
		"actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}`, access, secret), 0o600))
	host, port, err := net.SplitHostPort(addr)
	must(t, err)
	args := []string{"-logtostderr", "server", "-dir", dir, "-ip", host, "-ip.bind", host, "-volume.max=0", "-master.volumeSizeLimitMB=256", "-master.telemetry=false",
		"-filer", "-filer.localSocket=" + filepath.Join(dir, "filer.sock"),
		"-s3", "-s3.port=" + port, "-s3.config=" + identities, "-s3.allowBackslashInKey=true", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.localSocket=" + filepath.Join(dir, "s3.sock")}
	for _, name := range []string{"master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc"} {
		_, free, err := net.SplitHostPort(testbed.FreeAddress(t))
		must(t, err)
		args = append(args, "-"+name+"="+free)
		// It also listens at sockets whose place cannot be chosen.
		role, _, _ := strings.Cut(name, ".")
		t.Cleanup(func() { _ = os.Remove(fmt.Sprintf("/tmp/seaweedfs-%s-grpc-%s.sock", role, free)) })
	}
	return exec.Command(program, args...)
}
