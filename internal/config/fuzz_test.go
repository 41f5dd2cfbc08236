package config

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: for any environment and file the result is a configuration
// that keeps its promises, or an *Error that names something.
func FuzzParse(f *testing.F) {
	f.Add("S3_BUCKET=abc\x00USER_ID=u\x00S3_REGION=r", "LEASE_WAIT_SECONDS=3")
	f.Add("HOT_PATH=/a/../b\x00COLD_PATH=/b/c", "# x\n\n=\nHOT_PATH='")
	f.Add("S3_ENDPOINT=unix:///x\x00S3_PREFIX=\xff/\x00HOT_SYNC_EXCLUDE=,a,", "\"")
	f.Add("SANDBOX_UNBOUND=1\x00BIND_SOCKET=/s\x00S3_BUCKET=abc", "SANDBOX_INSTANCE=0")
	f.Add("WORKLOAD_STOP_SIGNAL=SIGRTMIN+1\x00COLD_CACHE_MAX_BYTES=9", "")
	f.Fuzz(func(t *testing.T, environ, conf string) {
		c, err := parse(Source{Environ: strings.Split(environ, "\x00"), Conf: strings.NewReader(conf), Hostname: "h", Root: true})
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || len(e.Mistakes) == 0 {
				t.Fatalf("not a list of mistakes: %v", err)
			}
			return
		}
		for _, p := range []string{c.HotPath, c.ColdPath, c.StateDir, c.RunDir, c.ReadyFile, c.Cold.CachePath} {
			if !filepath.IsAbs(p) || p == "/" || filepath.Clean(p) != p || strings.Contains(p, "\x00") {
				t.Errorf("path %q", p)
			}
		}
		if within(c.HotPath, c.ColdPath) || within(c.ColdPath, c.HotPath) || within(c.StateDir, c.HotPath) {
			t.Errorf("hot %q, cold %q, state %q", c.HotPath, c.ColdPath, c.StateDir)
		}
		if identifier(c.SandboxID) != nil || c.UserID != "" && identifier(c.UserID) != nil {
			t.Errorf("names %q, %q", c.SandboxID, c.UserID)
		}
		if c.HasStorage() && !c.Unbound && (c.UserID == "" || c.S3.Region == "") {
			t.Errorf("storage without a user or a region: %+v", c)
		}
		if p := c.UserPrefix(); c.UserID != "" && (strings.HasPrefix(p, "/") || strings.Contains("/"+p, "//") || strings.Contains("/"+p, "/../")) {
			t.Errorf("prefix %q", p)
		}
		if c.StopSignal < 1 || c.StopSignal > 64 || c.ShutdownTimeout <= 0 || c.HydrateTimeout <= 0 || c.LeaseWait < 0 {
			t.Errorf("%+v", c)
		}
		// It travels in one packet beside 48 KiB of credentials, which base64 makes 64.
		body, err := json.Marshal(c)
		if err != nil || len(body) > 60<<10 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	})
}
