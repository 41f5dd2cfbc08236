package control

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/contract"
)

// full is a status with something in every field.
func full() contract.StorageStatus {
	return contract.StorageStatus{
		Hot: contract.HotStatus{
			State: "syncing", Files: 12345, Bytes: 1 << 40, DirtyFiles: 3, DirtyBytes: 4096, InFlight: 2, Uploaded: 5, UploadBytes: 100,
			Hydrated: 7, HydrateTook: 1500 * time.Millisecond, LastSuccess: time.UnixMilli(1_700_000_000_500), Staleness: 2 * time.Second,
			NotAtRest: []string{"db"}, Failed: []contract.Unsaved{{Path: "x\x1b[2J", Reason: "access denied"}}, FailedCount: 1,
			Held: "the home is empty", Conflicts: 1, Rescans: 4, WatchLimit: true,
			Kept: []contract.Unsaved{{Path: "a//b", Reason: "cannot be a file"}}, Sequence: 99, ManifestAge: -1,
		},
		Cold:     &contract.ColdStatus{PendingFiles: 1, PendingBytes: 2, CacheBytes: 3, CacheMax: 4, Failed: []contract.Unsaved{{Path: "c", Reason: "r"}}},
		Lease:    contract.LeaseStatus{State: "held", Instance: "abc", Renewed: time.Unix(1_700_000_000, 0)},
		Store:    contract.StoreStatus{Bucket: "b", Prefix: "users/\"u\\\n\xff/", Endpoint: "http://s3", Conditional: []string{"PUT", "DELETE"}},
		Requests: map[string]int64{"PUT": 3, "GET": 1},
	}
}

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$`)
)

// parseMetrics is strict where the format is: HELP and TYPE before the samples, a family in one
// piece, no sample twice, counters named _total.
func parseMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	samples, families := map[string]float64{}, map[string]bool{}
	var family, kind string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			if !metricName.MatchString(name) || help == "" || families[name] {
				t.Errorf("bad HELP: %q", line)
			}
			families[name], family, kind = true, name, ""
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			var name string
			name, kind, _ = strings.Cut(rest, " ")
			if name != family || kind != "gauge" && kind != "counter" || (kind == "counter") != strings.HasSuffix(name, "_total") {
				t.Errorf("bad TYPE: %q", line)
			}
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil || m[1] != family || kind == "" {
			t.Errorf("bad sample: %q", line)
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if _, twice := samples[m[1]+m[2]]; err != nil || twice {
			t.Errorf("bad value or twice: %q", line)
		}
		samples[m[1]+m[2]] = value
	}
	return samples
}

func TestMetrics(t *testing.T) {
	var b strings.Builder
	writeMetrics(&b, full())
	got := parseMetrics(t, b.String())
	for name, want := range map[string]float64{
		`sandbox_storage_info{bucket="b",prefix="users/\"u\\\n` + "\uFFFD" + `/",endpoint="http://s3"}`: 1,
		`sandbox_hot_state{state="syncing"}`:         1,
		`sandbox_hot_state{state="synced"}`:          0,
		`sandbox_hot_files`:                          12345,
		`sandbox_hot_bytes`:                          1 << 40,
		`sandbox_hot_dirty_files`:                    3,
		`sandbox_hot_last_success_timestamp_seconds`: 1_700_000_000.5,
		`sandbox_hot_staleness_seconds`:              2,
		`sandbox_hot_deletes_held`:                   1,
		`sandbox_hot_manifest_age_seconds`:           -1,
		`sandbox_lease_held`:                         1,
		`sandbox_s3_requests_total{verb="PUT"}`:      3,
		`sandbox_cold_pending_bytes`:                 2,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v (there: %v), want %v", name, v, ok, want)
		}
	}
	b.Reset()
	writeMetrics(&b, contract.StorageStatus{})
	if _, ok := parseMetrics(t, b.String())["sandbox_cold_pending_files"]; ok {
		t.Error("a sandbox without a cold path has its metrics")
	}
}
