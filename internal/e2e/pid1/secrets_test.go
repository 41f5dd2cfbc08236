package pid1

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/e2e/harness"
	"github.com/matrx/sandbox/internal/testbed"
)

// searched is what secretsearch prints.
type searched struct {
	Found  map[string][]string
	Opened map[string]int
	Denied map[string]int
	Traced []string
	Rounds int
}

// secretsAre is how secretsearch is told what to look for without having it.
func secretsAre(secrets map[string]string) (args []string) {
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		masked := []byte(secrets[name])
		for i := range masked {
			masked[i] ^= 0x5a
		}
		args = append(args, name+"="+hex.EncodeToString(masked))
	}
	return args
}

// TestNoSecretIsFound: the command, from its first instant on, and sessions that are exec'd in
// look for the storage credentials in the environment, arguments, memory and open files of every process
// and in every file, and try to trace every process. The same search as root finds them.
// What is in the container's environment reaches every session, by the engine, which is why it
// takes ALLOW_ENV_CREDENTIALS; but not the command.
func TestNoSecretIsFound(t *testing.T) {
	srv := testbed.S3(t)
	bucket := srv.Bucket(t)
	binary, err := os.ReadFile(testbed.Binary(t, "internal/e2e/secretsearch"))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "secretsearch")
	if err := os.WriteFile(program, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	const inEnvironment = "MnWjbXn0tTheOneThatIsUsed"
	search := func(seconds int, secrets map[string]string) []string {
		return append([]string{"/secretsearch", "-for", fmt.Sprintf("%ds", seconds)}, secretsAre(secrets)...)
	}
	const name = "matrx-e2e-secrets"
	// The search is the command itself: it begins when the command does.
	script := strings.Join(search(3, map[string]string{"secret": srv.SecretKey, "environment": inEnvironment}), " ") + " > /tmp/found && echo searched; exec sleep 1000"
	contained(t, bucket, name, []string{"--volume", program + ":/secretsearch:ro", "--env", contract.EnvAllowEnvCredentials + "=1",
		"--env", "AWS_ACCESS_KEY_ID=x", "--env", "AWS_SECRET_ACCESS_KEY=" + inEnvironment, "--env", "S3_X_SECRET_Y=" + inEnvironment}, "sh", "-c", script)
	eventually(t, "the search does not end", func() bool {
		return strings.Contains(harness.Engine(t, nil, "logs", name).Stdout, "searched")
	})
	for who, out := range map[string]string{
		"the command":       harness.EngineOK(t, "exec", "--user", "agent", name, "cat", "/tmp/found"),
		"an exec'd session": harness.EngineOK(t, append([]string{"exec", "--user", "agent", name}, search(0, map[string]string{"secret": srv.SecretKey})...)...),
	} {
		var r searched
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%s says %q: %v", who, out, err)
		}
		if len(r.Found) > 0 {
			t.Errorf("%s has found %v", who, r.Found)
		}
		// That it looked, and was refused what it must be refused.
		if r.Opened["environ"] == 0 || r.Opened["file"] < 100 || r.Denied["environ"] == 0 || r.Denied["mem"]+r.Denied["maps"] == 0 {
			t.Errorf("%s has read %v, was denied %v", who, r.Opened, r.Denied)
		}
		if slices.Contains(r.Traced, "sandbox-init") {
			t.Errorf("%s has traced %v", who, r.Traced)
		}
	}
	var r searched
	out := harness.EngineOK(t, append([]string{"exec", "--user", "0", name}, search(0, map[string]string{"secret": srv.SecretKey})...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Found["secret"]) == 0 {
		t.Errorf("root has found %q, %v: the search finds nothing at all", out, err)
	}
	harness.EngineOK(t, "stop", name)
}
