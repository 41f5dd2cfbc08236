package run

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/matrx/sandbox/internal/e2e/harness"
)

func TestExitCodeIsTheContainers(t *testing.T) {
	o := harness.NewOperator(t)
	for _, code := range []int{0, 1, 3, 74, 75, 137, 255} {
		id := fmt.Sprintf("code-%d", code)
		r := o.Run(nil, "u", "--sandbox-id", id, "--", "exit", fmt.Sprint(code))
		if r.Code != code {
			t.Errorf("exit %d: %v", code, r)
		}
		// 74 is the command's own where the flush says that all is saved.
		if o.HasHome(id) {
			t.Errorf("exit %d: its home is kept", code)
		}
	}
}

func TestStreamsAreThoseOfTheCommand(t *testing.T) {
	o := harness.NewOperator(t)
	if r := o.Run(nil, "u", "-q", "--", "echo", "to", "stdout"); r.Code != 0 || r.Stdout != "to stdout\n" || r.Stderr != "" {
		t.Errorf("stdout: %v", r)
	}
	if r := o.Run(nil, "u", "-q", "--", "warn", "to stderr"); r.Code != 0 || r.Stdout != "" || r.Stderr != "to stderr\n" {
		t.Errorf("stderr: %v", r)
	}
	text := strings.Repeat("0123456789abcdef", 1<<16)
	if r := o.Run(strings.NewReader(text), "u", "-q", "-i", "--", "cat"); r.Code != 0 || r.Stdout != text+"(1048576 bytes)\n" {
		t.Errorf("stdin: %d bytes came back, code %d, %s", len(r.Stdout), r.Code, r.Stderr)
	}
	if r := o.Run(strings.NewReader(text), "u", "-q", "--", "cat"); r.Code != 0 || r.Stdout != "(0 bytes)\n" {
		t.Errorf("without -i it reads %v", r)
	}
}

// The files of one run are there in the next, of the same user alone.
func TestWorkspaceIsKeptBetweenRuns(t *testing.T) {
	o := harness.NewOperator(t)
	if r := o.Run(nil, "alice", "--sandbox-id", "a1", "--", "write", "alice's"); r.Code != 0 || !strings.Contains(r.Stderr, "a1 completed, exit code 0; saved 1 file (7 B)") {
		t.Fatalf("write: %v", r)
	}
	harness.NothingLeft(t, "a1")
	if r := o.Run(nil, "alice", "--", "read"); r.Code != 0 || r.Stdout != "alice's\n" {
		t.Errorf("read: %v", r)
	}
	if r := o.Run(nil, "bob", "--", "read"); r.Code == 0 {
		t.Errorf("bob reads %v", r)
	}
	for _, key := range []string{"/workspaces/users/alice/hot/file", "/workspaces?list-type=2&prefix=users/", "/workspaces?list-type=2&prefix=users/alice/", "/"} {
		if r := o.Run(nil, "bob", "-q", "--", "ask", "GET", key); !strings.HasPrefix(r.Stdout, "403 ") || !strings.Contains(r.Stdout, "AccessDenied") {
			t.Errorf("bob asks for %s: %v", key, r)
		}
	}
}

// A sandbox that was killed keeps its home; the next of its user takes its lease over at
// once, and what it has kept can be saved.
func TestWorkspaceIsKeptAfterAKill(t *testing.T) {
	o := harness.NewOperator(t)
	if r := o.Run(nil, "u", "--", "write", "first"); r.Code != 0 {
		t.Fatal(r)
	}
	p := o.Start("run", "--image", harness.FakeinitImage, "--user-id", "u", "--sandbox-id", "victim", "--", "idle")
	p.Out.Await(t, "idle")
	harness.EngineOK(t, "kill", "sandbox-victim")
	r := p.End()
	if r.Code != 137 || !strings.Contains(r.Stderr, "victim killed, exit code 137") || !strings.Contains(r.Stderr, "sandbox save victim") {
		t.Errorf("killed: %v", r)
	}
	if !o.HasHome("victim") || harness.Containers(t, "victim") == "" {
		t.Errorf("it keeps a home: %t", o.HasHome("victim"))
	}
	if l := o.List()["victim"]; l.State != "killed" {
		t.Errorf("ps says %+v", l)
	}
	if r := o.Run(nil, "u", "--", "read"); r.Code != 0 || r.Stdout != "first\n" {
		t.Errorf("the next one: %v", r)
	}
	if r := o.Run(nil, "u", "--sandbox-id", "victim", "--", "true"); r.Code == 0 || !strings.Contains(r.Stderr, "sandbox save victim") {
		t.Errorf("another one of its ID: %v", r)
	}
	if r := o.Do(nil, "rm", "victim"); r.Code == 0 || !o.HasHome("victim") {
		t.Errorf("rm without force: %v", r)
	}
	if r := o.Do(nil, "save", "victim"); r.Code != 0 || !strings.Contains(r.Stderr, "victim completed") {
		t.Errorf("save: %v", r)
	}
	harness.NothingLeft(t, "victim")
	if out := o.OK("logs", "victim"); !strings.HasPrefix(out, "idle") {
		t.Errorf("its output is %q", out)
	}
	if r := o.Do(nil, "save", "victim"); r.Code == 0 {
		t.Errorf("save again: %v", r)
	}
}

// The holder of the lease lives: the lease is not taken over.
func TestSecondSandboxOfAUserIsRefused(t *testing.T) {
	o := harness.NewOperator(t)
	id := o.OK("run", "--image", harness.FakeinitImage, "--user-id", "u", "--detach")
	r := o.Run(nil, "u", "--sandbox-id", "second", "--", "true")
	if r.Code != 75 || !strings.Contains(r.Stderr, "in use by the sandbox "+id) {
		t.Errorf("a second one: %v", r)
	}
	harness.NothingLeft(t, "second") // it had nothing to lose
	o.OK("stop", id)
	if r := o.Run(nil, "u", "--", "true"); r.Code != 0 {
		t.Errorf("after it: %v", r)
	}
}

func TestUnsavedHomeIsKeptAndNamed(t *testing.T) {
	o := harness.NewOperator(t)
	r := o.Run(nil, "u", "--sandbox-id", "s", "--", "unsaved")
	if r.Code != 74 || !strings.Contains(r.Stderr, "s unsaved, exit code 74: asked not to; NOT saved: 2 files") || !strings.Contains(r.Stderr, "sandbox save s") {
		t.Errorf("it says %v", r)
	}
	if !o.HasHome("s") {
		t.Error("its home is gone")
	}
	if r := o.Do(nil, "rm", "--force", "s"); r.Code != 0 || o.HasHome("s") {
		t.Errorf("rm --force: %v", r)
	}
	if l := o.List("-a"); len(l) != 0 {
		t.Errorf("ps -a still has %v", l)
	}
}

func TestJSONEventsAreOneALine(t *testing.T) {
	o := harness.NewOperator(t)
	r := o.Run(nil, "u", "--sandbox-id", "s", "--json", "--", "write", "x")
	var events []map[string]any
	for line := range strings.Lines(r.Stderr) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, e)
	}
	if len(events) != 2 || events[0]["event"] != "started" || events[1]["event"] != "ended" {
		t.Fatalf("it says %v", events)
	}
	if e := events[1]; e["saved"] != true || e["exit_code"] != 0.0 || e["outcome"] != "completed" || e["flush"].(map[string]any)["files"] != 1.0 {
		t.Errorf("it ended %v", e)
	}
}

// Runs that begin at once share one embedded S3, and each keeps its own.
func TestManySandboxesRunSideBySide(t *testing.T) {
	o := harness.NewOperator(t)
	const users = 5
	var all sync.WaitGroup
	for n := range users {
		all.Go(func() {
			u := fmt.Sprintf("u%d", n)
			if r := o.Run(nil, u, "--", "write", "of "+u); r.Code != 0 {
				t.Errorf("%s: %v", u, r)
			}
		})
	}
	all.Wait()
	for n := range users {
		u := fmt.Sprintf("u%d", n)
		if r := o.Run(nil, u, "-q", "--", "read"); r.Stdout != "of "+u+"\n" {
			t.Errorf("%s reads %v", u, r)
		}
	}
}
