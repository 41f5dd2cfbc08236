package lifecycle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/matrx/sandbox/contract"
	"github.com/matrx/sandbox/internal/wire"
)

// recorded reads what a storage process left.
func recorded[T any](r *run, name string) (v T) {
	r.t.Helper()
	body, err := os.ReadFile(filepath.Join(r.dir, name+".json"))
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// processes is how many storage processes there have been.
func (r *run) processes() int {
	found, err := filepath.Glob(filepath.Join(r.dir, "process-*.json"))
	if err != nil {
		r.t.Fatal(err)
	}
	return len(found)
}

// noWrongs: the fake storage process has seen nothing that it must not.
func (r *run) noWrongs() {
	r.t.Helper()
	for _, e := range r.events("storage:wrong") {
		r.t.Errorf("storage: %v", e)
	}
}

// stays is a command that ends on TERM with code 5, and says its number first.
const stays = `trap 'exit 5' TERM; echo $$ > "$HOME/../pid" 2>/dev/null; echo up; while :; do sleep 0.01; done`

// whole is a life without the cold path.
const whole = "hello start hydrated cold coldfailed drain flush flushed rest"

func TestLifeWithStorage(t *testing.T) {
	r := start(t, scenario{command: sh(stays), plan: whole, env: []string{"AWS_ACCESS_KEY_ID=AK", "AWS_SECRET_ACCESS_KEY=hush", "ALLOW_ENV_CREDENTIALS=1", "HTTPS_PROXY=http://p"}})
	r.says("up")
	st := r.state()
	if !st.Ready || st.Storage != contract.StorageS3 || st.StoragePID == 0 || st.StorageRestarts != 0 {
		t.Errorf("state %+v", st)
	}
	r.signal(unix.SIGTERM)
	r.ends(5)
	r.noWrongs()

	first := recorded[wire.Start](r, "start-0")
	if first.Resume || first.Config.UserID != "u" || first.Config.HotPath != r.home {
		t.Errorf("start %+v", first)
	}
	if got := first.Credentials.Env; got["AWS_SECRET_ACCESS_KEY"] != "hush" || got["AWS_ACCESS_KEY_ID"] != "AK" || got["HTTPS_PROXY"] != "" {
		t.Errorf("credentials %v", got)
	}
	process := recorded[me](r, "process-0")
	if strings.Contains(strings.Join(process.Environ, "\n"), "hush") || !slices.Contains(process.Environ, "HTTPS_PROXY=http://p") {
		t.Errorf("environment %q", process.Environ)
	}
	// CHOWN, DAC_OVERRIDE and FOWNER are 0, 1 and 3.
	for name, want := range map[string]string{"CapBnd": "000000000000000b", "CapEff": "000000000000000b", "CapPrm": "000000000000000b", "CapInh": "0000000000000000", "NoNewPrivs": "1", "Uid": "0\t0\t0\t0"} {
		if got := process.Status[name]; got != want {
			t.Errorf("the storage process has %s %s, want %s", name, got, want)
		}
	}
}

func TestCredentialsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[default]\naws_secret_access_key = hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, scenario{command: sh("env; cat '" + file + "'"), plan: whole, env: []string{"S3_CREDENTIALS_FILE=" + file}})
	r.ends(1) // cat may not
	if strings.Contains(r.out.String(), "hush") || strings.Contains(r.out.String(), "S3_CREDENTIALS_FILE") {
		t.Errorf("the command knows of it: %s", r.out)
	}
	first := recorded[wire.Start](r, "start-0")
	if !strings.Contains(string(first.Credentials.File), "hush") {
		t.Errorf("credentials %q", first.Credentials.File)
	}
}

func TestUnusableCredentialsFile(t *testing.T) {
	dir, err := os.MkdirTemp("", "credentials")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	readable, large := filepath.Join(dir, "readable"), filepath.Join(dir, "large")
	if err := os.WriteFile(readable, []byte("[default]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, mostCredentials+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ file, want string }{
		"missing":               {filepath.Join(dir, "none"), "no such file"},
		"too large":             {large, "larger than"},
		"the agent may read it": {readable, "the agent can read"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, scenario{command: sh("echo started"), plan: whole, env: []string{"S3_CREDENTIALS_FILE=" + tc.file}})
			r.ends(contract.ExitConfig)
			if e := r.await("boot_failed", 1); !strings.Contains(e["error"].(string), tc.want) || !strings.Contains(e["error"].(string), "S3_CREDENTIALS_FILE") {
				t.Errorf("%v", e)
			}
			if r.processes() > 0 || r.out.String() != "" {
				t.Error("something was started")
			}
		})
	}
}

func TestWorkspaceThatCannotBeHad(t *testing.T) {
	r := start(t, scenario{command: sh("echo started"), plan: "hello start failed exit"})
	r.ends(contract.ExitHydrate)
	if r.out.String() != "" {
		t.Error("the command was started")
	}
	if r.processes() != 1 {
		t.Errorf("%d storage processes", r.processes())
	}
	if e := r.await("storage_refused", 1); e["error"] != "it cannot be had" {
		t.Errorf("%v", e)
	}
	if st := r.state(); st.Problem != "it cannot be had" {
		t.Errorf("state %+v", st)
	}
}

// TestSIGTERMInHydrate: storage is told to leave S3 as it is, and never to flush.
func TestSIGTERMInHydrate(t *testing.T) {
	for name, tc := range map[string]struct {
		plan, step string
		gate       bool
	}{
		"while it hydrates":              {"hello start gate:g stop flushed rest", "storage:gate", true},
		"when it is done at that time":   {"hello start gate:g hydrated stop flushed rest", "storage:gate", true},
		"before it has said Hello":       {"gate:g hello", "storage:gate", false},
		"and it dies of that":            {"hello start gate:g stop die", "storage:gate", true},
		"and it does not come to an end": {"hello start stop rest", "storage:start", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, scenario{gates: []string{"g"}, command: sh("echo started"), plan: tc.plan, env: []string{"SHUTDOWN_TIMEOUT_SECONDS=2"}})
			r.await(tc.step, 1)
			r.signal(unix.SIGTERM)
			r.await("stop_requested", 1)
			if tc.gate {
				r.open("g")
			}
			r.ends(143)
			r.noWrongs()
			if r.out.String() != "" {
				t.Error("the command was started")
			}
			if r.processes() != 1 {
				t.Errorf("%d storage processes", r.processes())
			}
		})
	}
}

func TestIdleSandboxStoppedInHydrate(t *testing.T) {
	r := start(t, scenario{plan: "hello start stop flushed rest"})
	r.await("storage:start", 1)
	r.signal(unix.SIGINT)
	r.ends(0)
}

// TestStorageDies: the next one resumes, the command and readiness do not notice, and the
// flush goes to the one that lives.
func TestStorageDies(t *testing.T) {
	r := start(t, scenario{gates: []string{"g"}, command: sh(stays), plan: "hello start hydrated cold coldfailed gate:g die|hello start hydrated cold coldfailed problem:later drain flush flushed rest"})
	r.says("up")
	r.open("g")
	r.await("storage:problem", 1)
	if !r.ready() {
		t.Error("it is not ready any more")
	}
	r.signal(unix.SIGTERM)
	r.ends(5)
	r.noWrongs()
	if first, second := recorded[wire.Start](r, "start-0"), recorded[wire.Start](r, "start-1"); first.Resume || !second.Resume {
		t.Errorf("resume: %v, then %v", first.Resume, second.Resume)
	}
	if st := r.state(); st.StorageRestarts != 1 || st.Problem != "later" || st.StoragePID != 0 {
		t.Errorf("state %+v", st)
	}
}

// TestStorageDiesInHydrate: the next one hydrates from the start, and after three there
// is no more to try.
func TestStorageDiesInHydrate(t *testing.T) {
	r := start(t, scenario{command: sh("echo started"), plan: "hello start die|" + whole})
	r.ends(0)
	if second := recorded[wire.Start](r, "start-1"); second.Resume {
		t.Error("it resumes what was never hydrated")
	}

	r = start(t, scenario{command: sh("echo started"), plan: "hello start die"})
	r.ends(contract.ExitHydrate)
	if r.out.String() != "" || r.processes() != 3 {
		t.Errorf("output %q, %d storage processes", r.out, r.processes())
	}
}

// TestStorageDiesInFlush: the next one is told to drain and to flush as well.
func TestStorageDiesInFlush(t *testing.T) {
	r := start(t, scenario{command: sh("exit 6"), plan: "hello start hydrated cold coldfailed drain flush die|hello start hydrated drain flush flushed rest"})
	r.ends(6)
	r.noWrongs()
	if second := recorded[wire.Start](r, "start-1"); !second.Resume {
		t.Error("it does not resume")
	}
}

// TestStorageDiesInDrain: while a process takes its time to end.
func TestStorageDiesInDrain(t *testing.T) {
	r := start(t, scenario{gates: []string{"g", "end"}, command: sh(`trap 'read x < "$DIR/end"; exit 5' TERM; echo up; while :; do sleep 0.01; done`),
		plan: "hello start hydrated cold coldfailed drain die|hello start hydrated cold coldfailed drain gate:g flush flushed rest"})
	r.says("up")
	r.signal(unix.SIGTERM)
	r.await("storage:gate", 1) // the second one drains, and was not killed with the rest
	r.open("g")
	r.open("end")
	r.ends(5)
	r.noWrongs()
}

func TestUnsaved(t *testing.T) {
	for name, tc := range map[string]struct{ end, command string }{
		"files are missing":    {"unsaved rest", "exit 0"},
		"deletions are held":   {"held rest", "exit 3"},
		"no answer":            {"rest", "exit 0"},
		"it dies again, again": {"die", "exit 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := "hello start hydrated cold coldfailed drain flush " + tc.end
			if tc.end == "die" {
				plan += "|hello start hydrated drain flush die"
			}
			r := start(t, scenario{command: sh(tc.command), plan: plan, env: []string{"SHUTDOWN_TIMEOUT_SECONDS=2"}})
			r.ends(contract.ExitUnsaved)
			r.await("unsaved", 1)
		})
	}
}

// TestSIGTERMInFlush: it never skips the flush.
func TestSIGTERMInFlush(t *testing.T) {
	r := start(t, scenario{gates: []string{"g"}, command: sh(stays), plan: "hello start hydrated cold coldfailed drain flush gate:g flushed rest"})
	r.says("up")
	r.signal(unix.SIGTERM)
	r.await("storage:gate", 1)
	for n := 2; n < 5; n++ {
		r.signal(unix.SIGTERM)
		r.await("stop_requested", n)
	}
	if st := r.state(); st.Phase != contract.PhaseFlush || st.Ready {
		t.Errorf("state %+v", st)
	}
	r.open("g")
	r.ends(5)
}

// TestStarvedStorage: a storage process that cannot even begin, twice, has no room for
// its threads. The workload, which ignores everything, is killed and the flush completes.
func TestStarvedStorage(t *testing.T) {
	r := start(t, scenario{gates: []string{"g"}, command: sh(`trap '' TERM; echo up; while :; do sleep 0.01; done`),
		plan: "hello start hydrated cold coldfailed gate:g die|exit|exit|hello start hydrated drainatlast flush flushed rest",
		env:  []string{"SHUTDOWN_TIMEOUT_SECONDS=7200"}})
	r.says("up")
	r.open("g")
	r.ends(137)
	r.noWrongs()
	if r.processes() != 4 {
		t.Errorf("%d storage processes", r.processes())
	}
}

// TestGarbledStorage: what cannot be understood is killed and started again.
func TestGarbledStorage(t *testing.T) {
	r := start(t, scenario{command: sh("exit 2"), plan: "hello start garble rest|" + whole})
	r.ends(2)
	r.await("storage_garbled", 1)
	r.noWrongs()
}

// TestCommandKeepsNothingOfStorage: no descriptor of PID 1's reaches the command.
func TestCommandKeepsNothingOfStorage(t *testing.T) {
	r := start(t, scenario{command: sh(`ls -l /proc/self/fd`), plan: whole})
	r.ends(0)
	for _, word := range []string{"socket:", "anon_inode", "oom_score_adj"} {
		if strings.Contains(r.out.String(), word) {
			t.Errorf("%q is there:\n%s", word, r.out)
		}
	}
}
