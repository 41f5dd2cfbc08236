package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
)

// ready is the state of a healthy sandbox, whose sandbox-init is this test.
func ready() contract.State {
	return contract.State{Phase: contract.PhaseRun, Ready: true, SandboxID: "s1", UserID: "u1", Version: "v1.2.3", PID: os.Getpid(),
		StartedAt: time.Now(), ReadyAt: time.Now(), HotPath: "/home/agent", ColdPath: "/data/cold", Isolation: contract.IsolationFull,
		Storage: contract.StorageS3, Cold: contract.ColdMounted, WorkloadPID: 42}
}

func writeState(t *testing.T, runDir string, s contract.State) {
	t.Helper()
	content, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(runDir, contract.StateFileName), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

type result struct {
	code           int
	stdout, stderr string
}

func do(runDir string, command func(call, []string) int, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := command(call{runDir: runDir, stdout: &stdout, stderr: &stderr}, args)
	return result{code, stdout.String(), stderr.String()}
}

func TestHealthcheck(t *testing.T) {
	healthy := contract.StorageStatus{Hot: contract.HotStatus{State: "synced"}, Lease: contract.LeaseStatus{State: "held"}}
	for _, test := range []struct {
		name    string
		state   func(*contract.State)
		storage func(*contract.StorageStatus) // nil: the socket is not served
		code    int
		says    string
	}{
		{"healthy", nil, func(*contract.StorageStatus) {}, 0, "ready"},
		{"syncing", nil, func(s *contract.StorageStatus) { s.Hot.State = "syncing" }, 0, "ready"},
		{"in doubt", nil, func(s *contract.StorageStatus) { s.Lease.State = "waiting" }, 0, "ready"},
		{"no storage", func(s *contract.State) { s.Storage = contract.StorageNone }, nil, 0, "ready"},
		{"not ready", func(s *contract.State) { s.Ready, s.Phase, s.Problem = false, contract.PhaseDrain, "stopping" }, func(*contract.StorageStatus) {}, 1, `it is in "drain": stopping`},
		{"not ready, no storage", func(s *contract.State) { s.Ready, s.Storage = false, contract.StorageNone }, nil, 1, "not ready"},
		{"storage is down", nil, nil, 1, "does not answer"},
		{"failed", nil, func(s *contract.StorageStatus) {
			s.Hot.State, s.Hot.FailedCount = "failed", 3
			s.Hot.Failed = []contract.Unsaved{{Path: "a", Reason: "denied"}}
		}, 1, "a: denied (and 2 more)"},
		{"lease lost", nil, func(s *contract.StorageStatus) { s.Lease.State = "lost" }, 1, "nothing is saved"},
		{"killed", func(s *contract.State) { s.PID = 1 << 30 }, func(*contract.StorageStatus) {}, 1, "has ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			storage, state := healthy, ready()
			runDir := t.TempDir()
			if test.storage != nil {
				test.storage(&storage)
				runDir = serve(t, &backend{status: storage})
			}
			if test.state != nil {
				test.state(&state)
			}
			writeState(t, runDir, state)
			got := do(runDir, call.healthcheck)
			if got.code != test.code || !strings.Contains(got.stdout+got.stderr, test.says) {
				t.Errorf("healthcheck = %+v, want %d and %q", got, test.code, test.says)
			}
		})
	}
	if got := do(t.TempDir(), call.healthcheck); got.code != 1 || !strings.Contains(got.stderr, "no sandbox is running") {
		t.Errorf("without a sandbox: %+v", got)
	}
}

func TestHealthcheckAlive(t *testing.T) {
	zero := 0
	for _, test := range []struct {
		name  string
		state func(*contract.State)
		code  int
		says  string
	}{
		{"boot", func(s *contract.State) { s.Phase, s.Ready = contract.PhaseBoot, false }, 0, "alive"},
		{"unbound", func(s *contract.State) {
			s.Phase, s.Ready, s.Storage = contract.PhaseUnbound, false, contract.StorageNone
		}, 0, "alive"},
		{"ready, and storage does not answer", func(*contract.State) {}, 0, "alive"},
		{"flush", func(s *contract.State) { s.Phase, s.Ready = contract.PhaseFlush, false }, 0, "alive"},
		{"exit", func(s *contract.State) { s.Phase, s.Ready, s.ExitCode = contract.PhaseExit, false, &zero }, 1, "ended with code 0"},
		{"killed", func(s *contract.State) { s.PID = 1 << 30 }, 1, "has ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			runDir, state := t.TempDir(), ready()
			test.state(&state)
			writeState(t, runDir, state)
			if got := do(runDir, call.healthcheck, "--alive"); got.code != test.code || !strings.Contains(got.stdout+got.stderr, test.says) {
				t.Errorf("healthcheck --alive = %+v, want %d and %q", got, test.code, test.says)
			}
		})
	}
	if got := do(t.TempDir(), call.healthcheck, "--alive"); got.code != 1 {
		t.Errorf("without a sandbox: %+v", got)
	}
}

func TestStatusJSON(t *testing.T) {
	runDir := serve(t, &backend{status: full()})
	writeState(t, runDir, ready())
	got := do(runDir, call.status, "--json")
	var r Report
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || got.code != 0 {
		t.Fatalf("%+v: %v", got, err)
	}
	if r.State.SandboxID != "s1" || r.Storage == nil || r.Storage.Hot.Files != 12345 || r.StorageError != "" {
		t.Errorf("report = %+v", r)
	}

	down := t.TempDir()
	writeState(t, down, ready())
	got = do(down, call.status, "--json")
	r = Report{}
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || got.code != 1 || r.Storage != nil || r.StorageError == "" {
		t.Errorf("with storage down: %+v: %v", got, err)
	}
	if !strings.Contains(got.stdout, `"storage": null`) {
		t.Errorf("storage is not null: %s", got.stdout)
	}
}

func TestStatusForPeople(t *testing.T) {
	now := time.UnixMilli(1_700_000_003_000)
	state := ready()
	state.ReadyAt = now.Add(-3 * time.Minute)
	state.Problem = "S3 \x1b[31mis away"
	storage := full()
	var out bytes.Buffer
	if err := printReport(&out, Report{State: state, Storage: &storage}, now, false); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, "\x1b") {
		t.Errorf("escape sequences for one that is no terminal:\n%q", text)
	}
	for _, want := range []string{
		"sandbox         s1 of user u1, sandbox-init v1.2.3\n",
		"state           ready for 3m0s\n",
		"workload        process 42, isolation full\n",
		"  hot           syncing, 12,345 files (1.0 TiB) in S3\n",
		"  changes       3 files (4.0 KiB) not yet in S3, the oldest for 2.0 s; 2 in flight\n",
		"  lease         held by instance abc, renewed 3.0 s ago\n",
		"  requests      GET 1, PUT 3\n",
		"  conditions    honoured for PUT, DELETE\n",
		`  not saved     "x\x1b[2J": access denied` + "\n",
		"  kept in S3    a//b: cannot be a file\n",
		"  not at rest   db\n",
		"cold            mounted at /data/cold\n",
		"  pending       1 file (2 B)\n",
		`problem         "S3 \x1b[31mis away"` + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}

	out.Reset()
	if err := printReport(&out, Report{State: state, Storage: &storage}, now, true); err != nil {
		t.Fatal(err)
	}
	coloured := out.String()
	if !strings.Contains(coloured, "state           \x1b[32mready\x1b[0m for") {
		t.Errorf("no colour, or not aligned, for a terminal:\n%q", coloured)
	}
}

func TestStatusOfThoseThatDoNotRun(t *testing.T) {
	code := 74
	for _, test := range []struct {
		name   string
		change func(*contract.State)
		want   string
	}{
		{"no storage", func(s *contract.State) { s.Storage = contract.StorageNone }, "storage         none: no S3_BUCKET was given, nothing is kept"},
		{"ended", func(s *contract.State) { s.Ready, s.ExitCode = false, &code }, "ended with code 74"},
		{"killed", func(s *contract.State) { s.PID = 1 << 30 }, "dead: process 1073741824 ended in run without a flush"},
		{"unbound", func(s *contract.State) {
			s.Phase, s.Ready, s.UserID, s.Storage = contract.PhaseUnbound, false, "", contract.StorageNone
		}, "none yet: the sandbox waits for its user"},
		{"hydrating", func(s *contract.State) { s.Ready, s.Phase = false, contract.PhaseHydrate }, "hydrate, started"},
		{"cold unavailable", func(s *contract.State) {
			s.Cold, s.ColdReason = contract.ColdUnavailable, "/dev/fuse does not exist"
		}, "unavailable: /dev/fuse does not exist"},
	} {
		state := ready()
		test.change(&state)
		var out bytes.Buffer
		if err := printReport(&out, Report{State: state}, time.Now(), false); err != nil || !strings.Contains(out.String(), test.want) {
			t.Errorf("%s: %v, no %q in\n%s", test.name, err, test.want, out.String())
		}
	}
}

func TestCheckpointCommand(t *testing.T) {
	b := &backend{}
	runDir := serve(t, b)
	writeState(t, runDir, ready())
	b.checkpoint = func(context.Context) (contract.Checkpoint, error) {
		return contract.Checkpoint{Sequence: 12, Files: 1, Bytes: 2048, Took: 1500 * time.Millisecond}, nil
	}
	if got := do(runDir, call.checkpoint); got.code != 0 || got.stdout != "checkpoint 12: everything is in S3; 1 file, 2.0 KiB uploaded in 1.5 s\n" {
		t.Errorf("checkpoint = %+v", got)
	}
	if got := do(runDir, call.checkpoint, "--json"); got.code != 0 || !strings.Contains(got.stdout, `"sequence": 12`) {
		t.Errorf("checkpoint --json = %+v", got)
	}
	b.checkpoint = func(context.Context) (contract.Checkpoint, error) {
		return contract.Checkpoint{}, errors.New(`cannot write "a"`)
	}
	if got := do(runDir, call.checkpoint); got.code != contract.ExitUnsaved || !strings.Contains(got.stderr, `cannot write "a"`) {
		t.Errorf("a checkpoint that fails = %+v", got)
	}
	b.checkpoint = func(ctx context.Context) (contract.Checkpoint, error) {
		<-ctx.Done()
		return contract.Checkpoint{}, ctx.Err()
	}
	if got := do(runDir, call.checkpoint, "--timeout", "10ms"); got.code != contract.ExitUnsaved || !strings.Contains(got.stderr, "not complete after 10ms") {
		t.Errorf("a checkpoint that takes too long = %+v", got)
	}

	none := ready()
	none.Storage = contract.StorageNone
	writeState(t, runDir, none)
	if got := do(runDir, call.checkpoint); got.code != 1 || !strings.Contains(got.stderr, "S3_BUCKET") {
		t.Errorf("without storage = %+v", got)
	}
	down := t.TempDir()
	writeState(t, down, ready())
	if got := do(down, call.checkpoint); got.code != 1 || !strings.Contains(got.stderr, "does not answer") {
		t.Errorf("with storage down = %+v", got)
	}
}

func TestUsage(t *testing.T) {
	for name, command := range map[string]func(call, []string) int{"status": call.status, "checkpoint": call.checkpoint, "healthcheck": call.healthcheck} {
		if got := do(t.TempDir(), command, "--help"); got.code != 0 || !strings.Contains(got.stderr, "usage: sandbox-init "+name) {
			t.Errorf("%s --help = %+v", name, got)
		}
		if got := do(t.TempDir(), command, "--no-such-flag"); got.code != 2 {
			t.Errorf("%s --no-such-flag = %+v", name, got)
		}
		if got := do(t.TempDir(), command, "extra"); got.code != 2 || !strings.Contains(got.stderr, "takes no arguments") {
			t.Errorf("%s extra = %+v", name, got)
		}
	}
}

func TestWords(t *testing.T) {
	for want, got := range map[string]string{
		"0 B": size(0), "1023 B": size(1023), "1.0 KiB": size(1024), "1.0 MiB": size(1<<20 - 1), "8.0 EiB": size(1<<63 - 1),
		"1,234,567": count(1234567), "-1,234": count(-1234), "123": count(123), "1 file": files(1),
		"1.2 ms": short(1200 * time.Microsecond), "340 ms": short(340 * time.Millisecond), "12.0 s": short(12 * time.Second),
		"3m4s": short(184 * time.Second), "5h2m": short(5*time.Hour + 2*time.Minute), "0 s": short(-time.Second),
		"plain name": printable("plain name"), `"tab\t"`: printable("tab\t"), "ü": printable("ü"), `"\xff"`: printable("\xff"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
