package run

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/host/engine"
	"github.com/matrx/sandbox/internal/host/sandbox/datadir"
)

func TestRecordOfAStoreElsewhere(t *testing.T) {
	for _, v := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_SESSION_TOKEN"} {
		t.Setenv(v, "")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "k")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	t.Setenv("AWS_DEFAULT_REGION", "eu-north-1")
	got, err := Store{Bucket: "b-1", Prefix: "p/"}.record()
	want := datadir.Store{Bucket: "b-1", Prefix: "p/", Region: "eu-north-1", AccessKey: "k"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	// Without a bucket the operator's credentials are not recorded.
	got, err = Store{Prefix: DefaultPrefix}.record()
	if err != nil || !got.Embedded || got.AccessKey != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	t.Setenv("AWS_DEFAULT_REGION", "")
	if got, err := (Store{Bucket: "b-1", Endpoint: "https://s3.example.com"}).record(); err != nil || got.Region != "us-east-1" {
		t.Errorf("with an endpoint and no region: %+v, %v", got, err)
	}
}

func TestIDsAreMade(t *testing.T) {
	r, err := Options{UserID: strings.Repeat("u", 128)}.record()
	if err != nil {
		t.Fatal(err)
	}
	other, _ := Options{UserID: strings.Repeat("u", 128)}.record()
	if r.SandboxID == other.SandboxID || len(r.SandboxID) > 128 || !strings.HasPrefix(r.SandboxID, "uuu") {
		t.Errorf("made %q and %q", r.SandboxID, other.SandboxID)
	}
	if !r.Fresh {
		t.Errorf("made %+v", r)
	}
}

// Every mistake is said at once.
func TestMistakesAreSaidTogether(t *testing.T) {
	_, err := Options{UserID: "a b", SandboxID: ".", Detach: true, TTY: true, Shutdown: 1500 * time.Millisecond,
		Env: []string{"=", "USER_ID=x", "AWS_SESSION_TOKEN"}, Store: Store{Endpoint: "http://x"}}.record()
	for _, want := range []string{"--user-id", "--sandbox-id", "--detach", "--stop-timeout", `--env is "="`, "USER_ID", "AWS_SESSION_TOKEN", "--s3-bucket"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("HERE", "from here")
	r := datadir.Record{SandboxID: "s", UserID: "u", Store: datadir.Store{Bucket: "b", Prefix: "p/", Region: "r"}}
	env := Options{Env: []string{"A=b=c", "HERE", "NOT_HERE", "EMPTY="}, LogLevel: "info"}.environment(r, 45*time.Second, "i-1")
	for _, want := range []string{"SANDBOX_ID=s", "USER_ID=u", "S3_BUCKET=b", "S3_PREFIX=p/", "S3_REGION=r", "SHUTDOWN_TIMEOUT_SECONDS=45",
		"SANDBOX_LOG_LEVEL=info", "LEASE_TAKEOVER=i-1", "A=b=c", "HERE=from here", "EMPTY="} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in %q", want, env)
		}
	}
	if all := strings.Join(env, " "); strings.Contains(all, "NOT_HERE") {
		t.Errorf("too much is in %q", env)
	}
	if env := (Options{}).environment(r, time.Second, ""); slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, contract.EnvLeaseTakeover) }) {
		t.Errorf("no holder is dead, and yet %q", env)
	}
}

func TestShutdownIsTheOptionsThenTheImages(t *testing.T) {
	image := engine.Image{Env: []string{"PATH=/bin", "SHUTDOWN_TIMEOUT_SECONDS=77"}}
	for _, tc := range []struct {
		o    Options
		i    engine.Image
		want time.Duration
	}{
		{Options{Shutdown: time.Minute}, image, time.Minute},
		{Options{}, image, 77 * time.Second},
		{Options{}, engine.Image{}, defaultShutdown},
		{Options{}, engine.Image{Env: []string{"SHUTDOWN_TIMEOUT_SECONDS=soon"}}, defaultShutdown},
	} {
		if got := tc.o.shutdown(tc.i); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc, got, tc.want)
		}
	}
}

func TestSentence(t *testing.T) {
	flush := &contract.FlushResult{Transfer: contract.Transfer{Files: 1200, Bytes: 34_560_000, Took: 1234 * time.Millisecond}}
	for want, e := range map[string]datadir.Ended{
		"s completed, exit code 0; saved 1200 files (34.6 MB) in 1.23s":                                                        {Outcome: datadir.Completed, Flush: flush},
		"s completed, exit code 3; everything was saved before":                                                                {Outcome: datadir.Completed, ExitCode: 3, Flush: &contract.FlushResult{}},
		"s not started, exit code 78: S3_BUCKET is wrong":                                                                      {Outcome: datadir.NotStarted, ExitCode: 78, Reason: "S3_BUCKET is wrong"},
		"s killed, exit code 137; what is not saved is kept: `sandbox save s` saves it, `sandbox rm --force s` throws it away": {Outcome: datadir.Killed, ExitCode: 137, Kept: true},
		"s unsaved, exit code 74; NOT saved: 1 file; what is not saved is kept: `sandbox save s` saves it, `sandbox rm --force s` throws it away": {
			Outcome: datadir.Unsaved, ExitCode: 74, Kept: true, Flush: &contract.FlushResult{UnsavedCount: 1}},
	} {
		if got := Sentence(datadir.Record{SandboxID: "s", Ended: &e}); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 1234: "1.23 kB", 999_499: "999 kB", 999_500: "1 MB", 34_560_000: "34.6 MB", 5_000_000_000_000: "5 TB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// What is no text would arrive as another command or value.
func TestCommandThatIsNoTextIsRefused(t *testing.T) {
	for _, o := range []Options{{Command: []string{"cat", "\xff"}}, {Env: []string{"A=\xc3"}}} {
		if _, err := o.record(); err == nil || !strings.Contains(err.Error(), "is not UTF-8") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := (Options{UserID: "u", Command: []string{"cat", "ü"}}).record(); err != nil {
		t.Error(err)
	}
}

// The image that was inspected is the one that runs, even when another has its name by then.
func TestContainerIsMadeFromTheCheckedImage(t *testing.T) {
	r := datadir.Record{SandboxID: "s", Image: "name", ImageID: "sha256:1", Volumes: []string{"home", "state"}}
	if s := (Options{}).spec(datadir.Dir{}, datadir.Sandbox{}, r, defaultShutdown, ""); s.Image != "sha256:1" {
		t.Errorf("it is made from %q", s.Image)
	}
	r.ImageID = "" // of a record of before there were IDs
	if s := (Options{}).spec(datadir.Dir{}, datadir.Sandbox{}, r, defaultShutdown, ""); s.Image != "name" {
		t.Errorf("it is made from %q", s.Image)
	}
}
