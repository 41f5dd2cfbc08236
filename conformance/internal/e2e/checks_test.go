package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/matrx/sandbox/conformance"
)

// An image's own checks run as the agent in a sandbox that is ready, and their exit codes
// and standard error are what the report says.
func TestAnImagesOwnChecks(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"10-is-the-agent": "#!/bin/bash\n[ \"$(id -u) $HOME $PWD\" = '1000 /home/agent /home/agent' ] && [ -e /tmp/.sandbox_ready ] && " +
			"[ \"$(cat \"$(dirname \"$0\")/data/word\")\" = given ] || { id >&2; env >&2; exit 1; }\n",
		"20-has-no-such-hardware": "#!/bin/sh\necho 'no GPU here' >&2\nexit 77\n",
		"30-finds-a-mistake.sh":   "#!/bin/sh\necho chatter\necho 'three is not four' >&2\nexit 3\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data/word"), []byte("given"), 0o644))
	results := own(t, base, dir, 1, "OWN-001", "OWN-002", "OWN-003")
	for id, want := range map[string]conformance.Result{
		"OWN-001": {Status: conformance.Pass, Text: "is the agent"},
		"OWN-002": {Status: conformance.NotSupported, Text: "has no such hardware", Reason: "no GPU here"},
		"OWN-003": {Status: conformance.Failed, Text: "finds a mistake", Reason: "30-finds-a-mistake.sh ended with 3: three is not four"},
	} {
		if got := results[id]; got.Status != want.Status || got.Text != want.Text || got.Status != conformance.Pass && got.Reason != want.Reason {
			t.Errorf("%s %q is %s: %s; want %+v", id, got.Text, got.Status, got.Reason, want)
		}
	}
}

// A line "# service: NAME" brings a server, which answers where its clients look for it.
func TestRedisIsBrought(t *testing.T) {
	brings(t, map[string]string{
		"redis": `s.connect("/run/redis/redis.sock"); s.sendall(b"PING\r\n"); assert s.recv(7) == b"+PONG\r\n"`,
	})
}

// brings judges checks in Python, each of which asks for a service and speaks to its socket s.
func brings(t *testing.T, asks map[string]string) {
	t.Helper()
	dir := t.TempDir()
	var ids []string
	for name, ask := range asks {
		text := "#!/usr/bin/env python3\n# service: " + name + "\nimport socket\ns = socket.socket(socket.AF_UNIX)\n" + ask + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
		ids = append(ids, fmt.Sprintf("OWN-%03d", len(ids)+1))
	}
	results := own(t, core, dir, 2, ids...) // 2: the contract itself was left out
	for _, id := range ids {
		if r := results[id]; r.Status != conformance.Pass {
			t.Errorf("%s is %s: %s", r.Text, r.Status, r.Reason)
		}
	}
}

// own judges an image by the checks of a directory alone.
func own(t *testing.T, image, dir string, code int, ids ...string) map[string]conformance.Result {
	t.Helper()
	args := []string{image, "--json", "--checks=" + dir}
	for _, id := range ids {
		args = append(args, "--only="+id)
	}
	got, out, stderr := suite(t, nil, args...)
	if got != code {
		t.Errorf("the exit code is %d, want %d\n%s", got, code, stderr)
	}
	var r conformance.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	results := map[string]conformance.Result{}
	for _, result := range r.Results {
		results[result.ID] = result
	}
	return results
}
