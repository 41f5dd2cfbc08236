package run

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

// elsewhere is an S3 of the operator's own: not the daemon's, on a network address.
type elsewhere struct {
	data                        string
	Endpoint, Access, SecretKey string
}

func startElsewhere(t *testing.T, o *harness.Operator) *elsewhere {
	t.Helper()
	e := &elsewhere{data: filepath.Join(t.TempDir(), "s3")}
	cmd := o.Command(t.Context(), "s3", "--json", "--data", e.data, "--listen", "127.0.0.1:0", "--bucket", "the-bucket")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var ready struct {
		Endpoint  string `json:"endpoint"`
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		t.Fatal(err)
	}
	e.Endpoint, e.Access, e.SecretKey = ready.Endpoint, ready.AccessKey, ready.SecretKey
	return e
}

func (e *elsewhere) flags(more ...string) []string {
	return append([]string{"--s3-bucket", "the-bucket", "--s3-endpoint", e.Endpoint}, more...)
}

// The host signs for a bucket of the operator's own: credentials never enter the sandbox, and
// remain with the operator no longer than they are needed.
func TestHostSignsForABucketElsewhere(t *testing.T) {
	o := harness.NewOperator(t)
	e := startElsewhere(t, o)
	o.Env = []string{"AWS_ACCESS_KEY_ID=" + e.Access, "AWS_SECRET_ACCESS_KEY=" + e.SecretKey, "AWS_SESSION_TOKEN="}
	if r := o.Run(nil, "u", e.flags("--sandbox-id", "one", "--", "write", "kept elsewhere")...); r.Code != 0 {
		t.Fatal(r)
	}
	b, err := os.ReadFile(filepath.Join(e.data, "the-bucket/users/u/hot/file"))
	if err != nil || string(b) != "kept elsewhere" {
		t.Errorf("the bucket has %q, %v", b, err)
	}
	if r := o.Run(nil, "u", e.flags("-q", "--", "env")...); r.Code != 0 || strings.Contains(r.Stdout, e.SecretKey) || strings.Contains(r.Stdout, e.Access) {
		t.Errorf("its environment: %v", r)
	}
	for _, key := range []string{"/the-bucket/users/v/hot/file", "/other/users/u/hot/file"} {
		if r := o.Run(nil, "u", e.flags("-q", "--", "ask", "GET", key)...); !strings.HasPrefix(r.Stdout, "403 ") {
			t.Errorf("%s: %v", key, r)
		}
	}
	e.expectNoSecret(o, "after the runs")
}

// expectNoSecret looks at each file of the operator's data directory.
func (e *elsewhere) expectNoSecret(o *harness.Operator, when string) {
	o.T.Helper()
	err := filepath.WalkDir(o.DataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), e.SecretKey) {
			o.T.Errorf("%s the secret is in %s", when, path)
		}
		return err
	})
	if err != nil {
		o.T.Error(err)
	}
}

// Credentials of the environment are on no disk, during a run and after a kill: they are asked
// for again.
func TestNoSecretIsKeptOnDisk(t *testing.T) {
	o := harness.NewOperator(t)
	e := startElsewhere(t, o)
	o.Env = []string{"AWS_ACCESS_KEY_ID=" + e.Access, "AWS_SECRET_ACCESS_KEY=" + e.SecretKey, "AWS_SESSION_TOKEN="}
	id := o.OK(append([]string{"run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach"}, e.flags()...)...)
	e.expectNoSecret(o, "during the run")
	harness.EngineOK(t, "kill", "sandbox-"+id)
	o.Env = nil
	if r := o.Do(nil, "stop", id); !strings.Contains(r.Stdout+r.Stderr, "sandbox save") {
		t.Errorf("after the kill: %v", r)
	}
	e.expectNoSecret(o, "after the kill")
	if r := o.Do(nil, "save", id); r.Code != 125 || !strings.Contains(r.Stderr, "set AWS_ACCESS_KEY_ID (it was "+e.Access+")") {
		t.Errorf("without credentials: %v", r)
	}
	o.Env = []string{"AWS_ACCESS_KEY_ID=" + e.Access, "AWS_SECRET_ACCESS_KEY=" + e.SecretKey, "AWS_SESSION_TOKEN="}
	if r := o.Do(nil, "save", id); r.Code != 0 {
		t.Errorf("with them: %v", r)
	}
	e.expectNoSecret(o, "after the save")
}

// A profile is found again by a daemon that follows a killed one.
func TestHostSignsWithAProfile(t *testing.T) {
	o := harness.NewOperator(t)
	e := startElsewhere(t, o)
	file := filepath.Join(t.TempDir(), "credentials")
	content := "[default]\naws_access_key_id=no\naws_secret_access_key=no\n[work]\naws_access_key_id=" + e.Access + "\naws_secret_access_key=" + e.SecretKey + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Env = []string{"AWS_PROFILE=work", "AWS_SHARED_CREDENTIALS_FILE=" + file, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}
	id := o.OK(append([]string{"run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach"}, e.flags()...)...)
	o.Env = nil
	if err := syscall.Kill(o.DaemonPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := o.Do(nil, "stop", id); r.Code != 0 {
		t.Error(r)
	}
}

// What is wrong with the store is said before there is a container.
func TestErrorsOfTheStoreAreNamed(t *testing.T) {
	o := harness.NewOperator(t)
	e := startElsewhere(t, o)
	for name, tc := range map[string]struct {
		secret string
		bucket string
		want   string
	}{
		"wrong secret": {"wrong", "the-bucket", "check this program's AWS credentials"},
		"no bucket":    {e.SecretKey, "no-such-bucket", "there is no such bucket; make it"},
	} {
		o.Env = []string{"AWS_ACCESS_KEY_ID=" + e.Access, "AWS_SECRET_ACCESS_KEY=" + tc.secret, "AWS_SESSION_TOKEN="}
		r := o.Run(nil, "u", "--s3-bucket", tc.bucket, "--s3-endpoint", e.Endpoint)
		if r.Code != 75 || !strings.Contains(r.Stderr, tc.want) {
			t.Errorf("%s: %v", name, r)
		}
	}
	if l := o.List("-a"); len(l) != 0 {
		t.Errorf("left %v", l)
	}
}
