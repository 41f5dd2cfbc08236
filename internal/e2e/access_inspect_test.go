package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// Each way to end is told by its name, with the flush's result: on the exit line and, to
// whoever asks later, by inspect.
func TestAccessInspectTellsHowItEnded(t *testing.T) {
	o := newOperator(t)
	for _, tc := range []struct {
		name    string
		flags   []string
		do      []string
		outcome string
		saved   bool
	}{
		{"completed", nil, []string{"write", "x"}, "completed", true},
		{"timeout", []string{"--timeout", "1"}, []string{"idle"}, "timeout", true},
		{"unsaved", nil, []string{"unsaved"}, "unsaved", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := o.run(nil, "u", append(append(tc.flags, "--sandbox-id", tc.name, "--"), tc.do...)...)
			var got struct {
				SandboxID string `json:"sandbox_id"`
				Running   bool   `json:"running"`
				Saved     bool   `json:"saved"`
				Ended     struct {
					Outcome string                   `json:"outcome"`
					Flush   *struct{ Files float64 } `json:"flush"`
				} `json:"ended"`
				Limits struct {
					Memory int64 `json:"memory_bytes"`
				} `json:"limits"`
			}
			if err := json.Unmarshal([]byte(o.ok("inspect", "--json", tc.name)), &got); err != nil {
				t.Fatal(err)
			}
			if got.SandboxID != tc.name || got.Running || got.Ended.Outcome != tc.outcome || got.Saved != tc.saved || got.Limits.Memory != 1<<30 || got.Ended.Flush == nil {
				t.Errorf("%+v, after %v", got, r)
			}
			text := o.ok("inspect", tc.name)
			if !strings.Contains(text, tc.name+" "+tc.outcome+", exit code") || !strings.Contains(text, "memory 1024 MB") {
				t.Errorf("it prints\n%s", text)
			}
			o.ok("rm", "--force", tc.name)
		})
	}
	if r := o.do(nil, "inspect", "nobody"); r.code != 125 || !strings.Contains(r.stderr, "there is no such sandbox: nobody") {
		t.Errorf("one that nobody knows: %v", r)
	}
}
