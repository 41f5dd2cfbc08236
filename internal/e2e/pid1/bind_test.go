package pid1

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/catalog"
	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/execapi"
	"github.com/matrx/sandbox/internal/testbed"
)

// unboundContainer starts a container of base that is no user's, and waits until it says so. It gives the directory
// of its sockets.
func unboundContainer(t *testing.T, b *testbed.Bucket, name string) (sockets string) {
	t.Helper()
	sockets, err := os.MkdirTemp("", "bind") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	s3 := b.Config()
	args := append([]string{"run", "--detach", "--name", name, "--network", "host",
		"--volume", b.Server.CredentialsFile() + ":/run/credentials:ro", "--volume", sockets + ":" + contract.HostDir,
		"--env", contract.EnvS3CredentialsFile + "=/run/credentials", "--env", contract.EnvS3Region + "=" + s3.Region, "--env", contract.EnvS3Endpoint + "=" + s3.Endpoint,
		"--env", contract.EnvUnbound + "=1", "--env", contract.EnvBindSocket + "=" + contract.HostDir + "/" + contract.HostBindSocketName,
		"--env", contract.EnvExecSocket + "=" + contract.HostDir + "/" + contract.HostExecSocketName,
	}, leastRights...)
	remove := func() { _ = exec.Command("docker", "rm", "--force", "--volumes", name).Run() }
	remove()
	t.Cleanup(remove)
	harness.EngineOK(t, append(args, catalog.Reference("", "base", ""))...)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("docker", "logs", "--tail", "50", name).CombinedOutput()
			t.Logf("the log of %s:\n%s", name, out)
		}
	})
	awaitLog(t, name, `"event":"unbound"`, 1)
	return sockets
}

// awaitLog returns when n lines of a container's log have a text.
func awaitLog(t *testing.T, name, text string, n int) {
	t.Helper()
	logs := exec.CommandContext(t.Context(), "docker", "logs", "--follow", name)
	out, err := logs.StderrPipe()
	if err == nil {
		err = logs.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); n > 0 && lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			n--
		}
	}
	_ = logs.Process.Kill()
	_ = logs.Wait()
	if n > 0 {
		t.Fatalf("%s has ended without %s", name, text)
	}
}

func bind(t *testing.T, sockets string, b contract.Bind) (a contract.BindAnswer) {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(sockets, contract.HostBindSocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = json.NewEncoder(c).Encode(b)
	if err == nil {
		err = c.(*net.UnixConn).CloseWrite()
	}
	var body []byte
	if err == nil {
		body, err = io.ReadAll(c)
	}
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	if err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return a
}

// TestBoundContainer: unbound it is alive and refuses; bound it is its user's, home, execs, exit code and all; a kill and
// a start of the same container save what was missing, and no other user gets it.
func TestBoundContainer(t *testing.T) {
	b := testbed.S3(t).Bucket(t)
	b.Put("users/u/hot/notes", "from S3", nil)
	const name = "sandbox-e2e-bind"
	sockets := unboundContainer(t, b, name)
	for args, want := range map[string]int{"healthcheck --alive": 0, "healthcheck": 1, "status": 0} {
		if r := harness.Engine(t, nil, append([]string{"exec", name, "sandbox-init"}, strings.Fields(args)...)...); r.Code != want {
			t.Errorf("unbound, %s: %v", args, r)
		}
	}
	execs := execapi.New(func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(sockets, contract.HostExecSocketName))
	})
	if _, err := execs.Ports(t.Context()); err == nil || !strings.Contains(err.Error(), "bind") {
		t.Errorf("unbound, the exec server answers %v", err)
	}
	user := contract.Bind{SandboxID: "s", UserID: "u", S3Bucket: b.Name,
		Command: []string{"sh", "-c", `cat notes; echo; trap 'exit 6' TERM; while :; do sleep 0.1; done`}, Environment: map[string]string{"OWN": "u"}}
	if a := bind(t, sockets, user); a.Refused != "" {
		t.Fatalf("%+v", a)
	}
	st, err := execs.StartAttached(t.Context(), execapi.Spec{Args: []string{"sh", "-c", `test "$OWN$USER_ID" = uu && cp notes copy`}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for {
		e, err := st.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Final != nil {
			if e.Final.Code != 0 {
				t.Errorf("the exec ended %+v", e.Final)
			}
			break
		}
	}
	harness.EngineOK(t, "kill", "--signal", "KILL", name)
	harness.EngineOK(t, "start", name)
	awaitLog(t, name, `"event":"ready"`, 2)
	other := user
	other.UserID = "v"
	if a := bind(t, sockets, other); a.Refused != contract.BindBound || a.UserID != "u" {
		t.Errorf("after a restart another user is told %+v", a)
	}
	harness.EngineOK(t, "stop", "--time", "40", name)
	if code := harness.EngineOK(t, "inspect", "--format", "{{.State.ExitCode}}", name); code != "6" {
		t.Errorf("exit code %s", code)
	}
	b.Want("users/u/hot/copy", "from S3")
	if keys := b.Keys("users/v/"); len(keys) != 0 {
		t.Errorf("another user has %v", keys)
	}
}
