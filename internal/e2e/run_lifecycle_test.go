package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestRunExitCodeIsTheContainers(t *testing.T) {
	o := newOperator(t)
	for _, code := range []int{0, 1, 3, 74, 75, 137, 255} {
		id := fmt.Sprintf("code-%d", code)
		r := o.run(nil, "u", "--sandbox-id", id, "--", "exit", fmt.Sprint(code))
		if r.code != code {
			t.Errorf("exit %d: %v", code, r)
		}
		// 74 says that something is not saved, whoever says it.
		if kept := volumes(t, id) != ""; kept != (code == 74) {
			t.Errorf("exit %d: volumes kept: %t", code, kept)
		}
	}
}

func TestRunStreams(t *testing.T) {
	o := newOperator(t)
	if r := o.run(nil, "u", "-q", "--", "echo", "to", "stdout"); r.code != 0 || r.stdout != "to stdout\n" || r.stderr != "" {
		t.Errorf("stdout: %v", r)
	}
	if r := o.run(nil, "u", "-q", "--", "warn", "to stderr"); r.code != 0 || r.stdout != "" || r.stderr != "to stderr\n" {
		t.Errorf("stderr: %v", r)
	}
	text := strings.Repeat("0123456789abcdef", 1<<16)
	if r := o.run(strings.NewReader(text), "u", "-q", "-i", "--", "cat"); r.code != 0 || r.stdout != text+"(1048576 bytes)\n" {
		t.Errorf("stdin: %d bytes came back, code %d, %s", len(r.stdout), r.code, r.stderr)
	}
	if r := o.run(strings.NewReader(text), "u", "-q", "--", "cat"); r.code != 0 || r.stdout != "(0 bytes)\n" {
		t.Errorf("without -i it reads %v", r)
	}
}

// The files of one run are there in the next, of the same user and of nobody else.
func TestRunKeepsTheWorkspace(t *testing.T) {
	o := newOperator(t)
	if r := o.run(nil, "alice", "--sandbox-id", "a1", "--", "write", "alice's"); r.code != 0 || !strings.Contains(r.stderr, "a1 completed, exit code 0; saved 1 file (7 B)") {
		t.Fatalf("write: %v", r)
	}
	nothingLeft(t, "a1")
	if r := o.run(nil, "alice", "--", "read"); r.code != 0 || r.stdout != "alice's\n" {
		t.Errorf("read: %v", r)
	}
	if r := o.run(nil, "bob", "--", "read"); r.code == 0 {
		t.Errorf("bob reads %v", r)
	}
	for _, key := range []string{"/workspaces/users/alice/hot/file", "/workspaces?list-type=2&prefix=users/", "/workspaces?list-type=2&prefix=users/alice/", "/"} {
		if r := o.run(nil, "bob", "-q", "--", "ask", "GET", key); !strings.HasPrefix(r.stdout, "403 ") || !strings.Contains(r.stdout, "AccessDenied") {
			t.Errorf("bob asks for %s: %v", key, r)
		}
	}
}

// A sandbox that was killed keeps its volumes; the next of its user takes its lease over at
// once, and what it has kept can be saved.
func TestRunAfterAKill(t *testing.T) {
	o := newOperator(t)
	if r := o.run(nil, "u", "--", "write", "first"); r.code != 0 {
		t.Fatal(r)
	}
	p := o.start("run", "--image", standinImage, "--user-id", "u", "--sandbox-id", "victim", "--", "idle")
	p.out.await(t, "idle")
	engineOK(t, "kill", "sandbox-victim")
	r := p.end()
	if r.code != 137 || !strings.Contains(r.stderr, "victim killed, exit code 137") || !strings.Contains(r.stderr, "sandbox save victim") {
		t.Errorf("killed: %v", r)
	}
	if strings.Count(volumes(t, "victim"), "sandbox-victim-") != 2 || containers(t, "victim") == "" {
		t.Errorf("it keeps %q", volumes(t, "victim"))
	}
	if l := o.list()["victim"]; l.State != "killed" {
		t.Errorf("ps says %+v", l)
	}
	if r := o.run(nil, "u", "--", "read"); r.code != 0 || r.stdout != "first\n" {
		t.Errorf("the next one: %v", r)
	}
	if r := o.run(nil, "u", "--sandbox-id", "victim", "--", "true"); r.code == 0 || !strings.Contains(r.stderr, "sandbox save victim") {
		t.Errorf("another one of its ID: %v", r)
	}
	if r := o.do(nil, "rm", "victim"); r.code == 0 || volumes(t, "victim") == "" {
		t.Errorf("rm without force: %v", r)
	}
	if r := o.do(nil, "save", "victim"); r.code != 0 || !strings.Contains(r.stderr, "victim completed") {
		t.Errorf("save: %v", r)
	}
	nothingLeft(t, "victim")
	if out := o.ok("logs", "victim"); !strings.HasPrefix(out, "idle") {
		t.Errorf("its output is %q", out)
	}
	if r := o.do(nil, "save", "victim"); r.code == 0 {
		t.Errorf("save again: %v", r)
	}
}

// The holder of the lease lives: nobody takes it over.
func TestRunBesideALivingHolder(t *testing.T) {
	o := newOperator(t)
	id := o.ok("run", "--image", standinImage, "--user-id", "u", "--detach")
	r := o.run(nil, "u", "--sandbox-id", "second", "--", "true")
	if r.code != 75 || !strings.Contains(r.stderr, "in use by the sandbox "+id) {
		t.Errorf("a second one: %v", r)
	}
	nothingLeft(t, "second") // it had nothing to lose
	o.ok("stop", id)
	if r := o.run(nil, "u", "--", "true"); r.code != 0 {
		t.Errorf("after it: %v", r)
	}
}

func TestRunUnsavedIsKeptAndSaid(t *testing.T) {
	o := newOperator(t)
	r := o.run(nil, "u", "--sandbox-id", "s", "--", "unsaved")
	if r.code != 74 || !strings.Contains(r.stderr, "s unsaved, exit code 74: asked not to; NOT saved: 2 files") || !strings.Contains(r.stderr, "sandbox save s") {
		t.Errorf("it says %v", r)
	}
	if volumes(t, "s") == "" {
		t.Error("its volumes are gone")
	}
	if r := o.do(nil, "rm", "--force", "s"); r.code != 0 || volumes(t, "s") != "" {
		t.Errorf("rm --force: %v", r)
	}
	if l := o.list("-a"); len(l) != 0 {
		t.Errorf("ps -a still has %v", l)
	}
}

func TestRunJSON(t *testing.T) {
	o := newOperator(t)
	r := o.run(nil, "u", "--sandbox-id", "s", "--json", "--", "write", "x")
	var events []map[string]any
	for line := range strings.Lines(r.stderr) {
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
func TestRunsAtOnce(t *testing.T) {
	o := newOperator(t)
	const users = 5
	var all sync.WaitGroup
	for n := range users {
		all.Go(func() {
			u := fmt.Sprintf("u%d", n)
			if r := o.run(nil, u, "--", "write", "of "+u); r.code != 0 {
				t.Errorf("%s: %v", u, r)
			}
		})
	}
	all.Wait()
	for n := range users {
		u := fmt.Sprintf("u%d", n)
		if r := o.run(nil, u, "-q", "--", "read"); r.stdout != "of "+u+"\n" {
			t.Errorf("%s reads %v", u, r)
		}
	}
}
