package access

import (
	"encoding/json"
	"strings"
	"testing"
)

// Each way to end is told by its name, with the flush's result: on the exit line and,
// later, by inspect.
func TestInspectTellsHowASandboxEnded(t *testing.T) {
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
			r := o.Run(nil, "u", append(append(tc.flags, "--sandbox-id", tc.name, "--"), tc.do...)...)
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
			if err := json.Unmarshal([]byte(o.OK("inspect", "--json", tc.name)), &got); err != nil {
				t.Fatal(err)
			}
			if got.SandboxID != tc.name || got.Running || got.Ended.Outcome != tc.outcome || got.Saved != tc.saved || got.Limits.Memory != 1<<30 || got.Ended.Flush == nil {
				t.Errorf("%+v, after %v", got, r)
			}
			text := o.OK("inspect", tc.name)
			if !strings.Contains(text, tc.name+" "+tc.outcome+", exit code") || !strings.Contains(text, "memory 1024 MB") {
				t.Errorf("it prints\n%s", text)
			}
			o.OK("rm", "--force", tc.name)
		})
	}
	if r := o.Do(nil, "inspect", "nobody"); r.Code != 125 || !strings.Contains(r.Stderr, "there is no such sandbox: nobody") {
		t.Errorf("one that nobody knows: %v", r)
	}
}
