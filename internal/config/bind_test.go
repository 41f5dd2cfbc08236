package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/matrx/sandbox/contract"
)

const nowhere = "/nonexistent/sandbox.conf"

// unbound is the environment of a container that waits for its user.
var unbound = []string{"SANDBOX_UNBOUND=1", "BIND_SOCKET=/run/host/bind.sock", "S3_ENDPOINT=unix:///run/host/s.sock", "PATH=/bin", "KEEP=pool", "BOTH=pool", "SANDBOX_ID=pool-1", "S3_PREFIX=pool/"}

// TestBindMakesWhatAStartMakes: the configuration, and the environment of all that the sandbox runs, are those of a
// start with the message's values in its environment.
func TestBindMakesWhatAStartMakes(t *testing.T) {
	prefix := ""
	for _, tc := range []struct {
		name  string
		bind  contract.Bind
		start []string
	}{
		{"storage", contract.Bind{SandboxID: "s", UserID: "u", S3Bucket: "abc", Environment: map[string]string{"BOTH": "user", "OWN": "x"}},
			[]string{"S3_ENDPOINT=unix:///run/host/s.sock", "PATH=/bin", "KEEP=pool", "BOTH=user", "OWN=x", "S3_BUCKET=abc", "SANDBOX_ID=s", "USER_ID=u"}},
		{"an empty prefix", contract.Bind{SandboxID: "s", UserID: "u", S3Bucket: "abc", S3Prefix: &prefix, Instance: strings.Repeat("0a", 16)},
			[]string{"S3_ENDPOINT=unix:///run/host/s.sock", "PATH=/bin", "KEEP=pool", "BOTH=pool", "S3_BUCKET=abc", "S3_PREFIX=", "SANDBOX_ID=s", "SANDBOX_INSTANCE=" + strings.Repeat("0a", 16), "USER_ID=u"}},
		{"nothing is kept", contract.Bind{SandboxID: "s", Environment: map[string]string{"LEASE_WAIT_SECONDS": "7"}},
			[]string{"S3_ENDPOINT=unix:///run/host/s.sock", "PATH=/bin", "KEEP=pool", "BOTH=pool", "LEASE_WAIT_SECONDS=7", "SANDBOX_ID=s"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, environ, err := Bind(unbound, tc.bind, nowhere)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Load(tc.start, nowhere)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the configuration: -start +bind\n%s", diff)
			}
			if diff := cmp.Diff(tc.start, environ); diff != "" {
				t.Errorf("the environment: -start +bind\n%s", diff)
			}
		})
	}
}

func TestBindsThatAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		bind contract.Bind
		want []string
	}{
		{"nameless", contract.Bind{UserID: "u"}, []string{"sandbox_id: must be given"}},
		{"a user that leaves its prefix", contract.Bind{SandboxID: "s", UserID: "../u", S3Bucket: "abc"}, []string{`USER_ID="../u": must be letters`}},
		{"storage without a user", contract.Bind{SandboxID: "s", S3Bucket: "abc"}, []string{"USER_ID: must be set"}},
		{"an instance that is none", contract.Bind{SandboxID: "s", Instance: "x"}, []string{`SANDBOX_INSTANCE="x": must be 32`}},
		{"a field as a variable", contract.Bind{SandboxID: "s", Environment: map[string]string{"USER_ID": "v", "S3_PREFIX": ""}}, []string{`USER_ID="v": is said by`, "S3_PREFIX: is said by"}},
		{"what was read at boot", contract.Bind{SandboxID: "s", Environment: map[string]string{"SANDBOX_STATE_DIR": "/x", "SANDBOX_UNBOUND": "1"}}, []string{"SANDBOX_STATE_DIR", "SANDBOX_UNBOUND", "was read at boot"}},
		{"no variable", contract.Bind{SandboxID: "s", Environment: map[string]string{"": "x", "A=B": "", "C": "\x00"}}, []string{"3 places", "cannot be a variable"}},
		{"every mistake", contract.Bind{SandboxID: "-", Environment: map[string]string{"LEASE_WAIT_SECONDS": "x"}}, []string{"SANDBOX_ID", "LEASE_WAIT_SECONDS"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := Bind(unbound, tc.bind, nowhere)
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
		})
	}
}
