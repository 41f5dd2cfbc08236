package run

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

// Errors say what to do, and leave nothing behind.
func TestErrorsNameTheRemedy(t *testing.T) {
	o := harness.NewOperator(t)
	for name, tc := range map[string]struct {
		env  []string
		args []string
		code int
		want []string
	}{
		"no engine":    {[]string{"DOCKER_HOST=unix:///nowhere/docker.sock"}, nil, 125, []string{"no container engine answers at unix:///nowhere/docker.sock", "scripts/ensure-engine.sh"}},
		"far engine":   {[]string{"DOCKER_HOST=tcp://192.0.2.1:2375"}, nil, 125, []string{"must be on this machine"}},
		"no core":      {nil, []string{"--image", "matrx-sandbox:no-such-version"}, 125, []string{"matrx-sandbox:no-such-version", "make core"}},
		"no image":     {nil, []string{"--image", "example.com/none:1"}, 125, []string{"docker pull example.com/none:1"}},
		"no network":   {nil, []string{"--network", "no-such-network"}, 125, []string{"no-such-network"}},
		"user ID":      {nil, []string{"--user-id", "../root"}, 125, []string{"--user-id", "../root", "letters, digits"}},
		"several":      {nil, []string{"--user-id", "..", "--sandbox-id", "a/b", "--env", "=x"}, 125, []string{"--user-id", "--sandbox-id", "--env"}},
		"credentials":  {nil, []string{"--env", "AWS_SECRET_ACCESS_KEY=x"}, 125, []string{"do not enter a sandbox"}},
		"own variable": {nil, []string{"--env", "S3_BUCKET=x"}, 125, []string{"--s3-bucket"}},
		"detached tty": {nil, []string{"-d", "-t"}, 125, []string{"--detach"}},
		"stop timeout": {nil, []string{"--stop-timeout", "0.5s"}, 125, []string{"whole seconds"}},
		"no region":    {[]string{"AWS_REGION=", "AWS_DEFAULT_REGION="}, []string{"--s3-bucket", "b-1"}, 125, []string{"--s3-region"}},
		"no bucket":    {nil, []string{"--s3-endpoint", "http://127.0.0.1:1"}, 125, []string{"need --s3-bucket"}},
		"prefix":       {nil, []string{"--s3-prefix", "x"}, 125, []string{"end in a slash"}},
		"store away":   {[]string{"AWS_ACCESS_KEY_ID=k", "AWS_SECRET_ACCESS_KEY=s"}, []string{"--s3-bucket", "bucket", "--s3-endpoint", "http://127.0.0.1:1"}, 75, []string{"cannot reach the workspace s3://bucket/users/u/", "endpoint"}},
	} {
		t.Run(name, func(t *testing.T) {
			o.Env = tc.env
			defer func() { o.Env = nil }()
			args := []string{"run", "--user-id", "u"}
			if !strings.Contains(strings.Join(tc.args, " "), "--image") {
				args = append(args, "--image", harness.FakeinitImage)
			}
			r := o.Do(nil, append(args, tc.args...)...)
			if r.Code != tc.code {
				t.Errorf("exit code %d, want %d", r.Code, tc.code)
			}
			for _, w := range tc.want {
				if !strings.Contains(r.Stderr, w) {
					t.Errorf("%q does not say %q", r.Stderr, w)
				}
			}
			o.Env = nil
			if l := o.List("-a"); len(l) != 0 {
				t.Errorf("it has left %v", l)
			}
		})
	}
}
