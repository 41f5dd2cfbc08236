package config

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
)

// FuzzBind: any message makes what a start with the environment that Bind returns makes, or is refused with a list of
// mistakes; and it never changes what was read at boot.
func FuzzBind(f *testing.F) {
	f.Add(`{"sandbox_id":"s","user_id":"u","s3_bucket":"abc","environment":{"A":"b"}}`)
	f.Add(`{"sandbox_id":"s","s3_prefix":"","environment":{"HOT_PATH":"/","=":"\u0000"}}`)
	f.Add(`{"sandbox_id":"../s","instance":"x","environment":{"LEASE_WAIT_SECONDS":"x","S3_ENDPOINT":""}}`)
	boot, err := Load(unbound, nowhere)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, message string) {
		var b contract.Bind
		if json.Unmarshal([]byte(message), &b) != nil {
			return
		}
		got, environ, err := Bind(unbound, b, nowhere)
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || len(e.Mistakes) == 0 {
				t.Fatalf("not a list of mistakes: %v", err)
			}
			return
		}
		if got.Unbound || got.SandboxID != b.SandboxID || got.UserID != b.UserID || got.S3.Bucket != b.S3Bucket || got.Instance != b.Instance {
			t.Errorf("from %+v came %+v", b, got)
		}
		if got.HotPath != boot.HotPath || got.ColdPath != boot.ColdPath || got.StateDir != boot.StateDir || got.RunDir != boot.RunDir ||
			got.ReadyFile != boot.ReadyFile || got.LogLevel != boot.LogLevel || got.ExecSocket != boot.ExecSocket {
			t.Errorf("it changes what was read at boot: %+v", got)
		}
		start, err := Load(environ, nowhere)
		if err != nil {
			t.Fatalf("a start with %q is refused: %v", environ, err)
		}
		want, _ := json.Marshal(start)
		if have, _ := json.Marshal(got); string(have) != string(want) {
			t.Errorf("a start makes %s, the bind %s", want, have)
		}
		names := map[string]bool{}
		for _, kv := range environ {
			name, _, _ := strings.Cut(kv, "=")
			if names[name] || slices.Contains([]string{contract.EnvUnbound, contract.EnvBindSocket}, name) {
				t.Errorf("the environment %q has %s once too often", environ, name)
			}
			names[name] = true
		}
	})
}
