package control

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/matrx/sandbox/contract"
)

// writeMetrics writes s in Prometheus' text exposition format 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats). Names end in their unit; what only
// grows ends in _total and starts at 0 with each storage process, as counters may.
func writeMetrics(w io.Writer, s contract.StorageStatus) {
	m := &metrics{w: bufio.NewWriter(w)}
	defer m.w.Flush()
	hot := s.Hot

	m.family("sandbox_storage_info", "gauge", "Where the workspace is kept; always 1.")
	m.sample(1, "bucket", s.Store.Bucket, "prefix", s.Store.Prefix, "endpoint", s.Store.Endpoint)

	m.family("sandbox_hot_state", "gauge", "1 for the state of the hot path, 0 for the others.")
	for _, state := range []string{"hydrating", "synced", "syncing", "held", "failed"} {
		m.sample(boolean(state == hot.State), "state", state)
	}
	m.gauge("sandbox_hot_files", "Files known to be in S3.", float64(hot.Files))
	m.gauge("sandbox_hot_bytes", "Bytes known to be in S3.", float64(hot.Bytes))
	m.gauge("sandbox_hot_dirty_files", "Files changed and not yet in S3.", float64(hot.DirtyFiles))
	m.gauge("sandbox_hot_dirty_bytes", "Bytes of the files changed and not yet in S3.", float64(hot.DirtyBytes))
	m.gauge("sandbox_hot_in_flight", "Uploads, copies and deletes under way.", float64(hot.InFlight))
	m.counter("sandbox_hot_uploaded_files_total", "Files uploaded.", float64(hot.Uploaded))
	m.counter("sandbox_hot_uploaded_bytes_total", "Bytes uploaded.", float64(hot.UploadBytes))
	m.gauge("sandbox_hot_hydrated_files", "Files written by hydrate.", float64(hot.Hydrated))
	m.gauge("sandbox_hot_hydrate_seconds", "How long hydrate took.", hot.HydrateTook.Seconds())
	m.gauge("sandbox_hot_last_success_timestamp_seconds", "When all that was known to be dirty was in S3; 0: never.", timestamp(hot.LastSuccess))
	m.gauge("sandbox_hot_staleness_seconds", "Age of the oldest change that is not in S3.", hot.Staleness.Seconds())
	m.gauge("sandbox_hot_failed_files", "Files that cannot be stored.", float64(hot.FailedCount))
	m.gauge("sandbox_hot_problem", "1 while more than single files cannot be saved.", boolean(hot.Problem != ""))
	m.gauge("sandbox_hot_not_at_rest_files", "Files that never rest, up to 100.", float64(len(hot.NotAtRest)))
	m.gauge("sandbox_hot_deletes_held", "1 while deletions are held back.", boolean(hot.Held != ""))
	m.counter("sandbox_hot_conflicts_total", "Conflict copies made.", float64(hot.Conflicts))
	m.counter("sandbox_hot_rescans_total", "Scans of the whole tree.", float64(hot.Rescans))
	m.gauge("sandbox_hot_watch_limit_reached", "1 when changes are found by scanning for want of inotify watches.", boolean(hot.WatchLimit))
	m.gauge("sandbox_hot_sequence", "The journal's newest sequence number.", float64(hot.Sequence))
	m.gauge("sandbox_hot_manifest_age_seconds", "Age of the manifest; -1: there is none.", age(hot.ManifestAge))

	m.gauge("sandbox_lease_held", "1 while this sandbox may write.", boolean(s.Lease.State == "held" || s.Lease.State == "none"))
	m.gauge("sandbox_lease_renewed_timestamp_seconds", "When the last successful renewal was sent; 0: never.", timestamp(s.Lease.Renewed))

	m.family("sandbox_s3_requests_total", "counter", "Requests sent to S3.")
	for _, verb := range slices.Sorted(maps.Keys(s.Requests)) {
		m.sample(float64(s.Requests[verb]), "verb", verb)
	}

	if c := s.Cold; c != nil {
		m.gauge("sandbox_cold_pending_files", "Files of the cold path not yet in S3.", float64(c.PendingFiles))
		m.gauge("sandbox_cold_pending_bytes", "Bytes of the cold path not yet in S3.", float64(c.PendingBytes))
		m.gauge("sandbox_cold_cache_bytes", "Bytes in the cold path's cache.", float64(c.CacheBytes))
		m.gauge("sandbox_cold_cache_max_bytes", "The most that cache holds.", float64(c.CacheMax))
		m.gauge("sandbox_cold_failed_files", "Files of the cold path that cannot be stored.", float64(len(c.Failed)))
	}
}

type metrics struct {
	w    *bufio.Writer
	name string
}

func (m *metrics) family(name, kind, help string) {
	m.name = name
	fmt.Fprintf(m.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes a line of the family; labels are names and values in turn.
func (m *metrics) sample(value float64, labels ...string) {
	m.w.WriteString(m.name)
	for i := 0; i < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(m.w, `%s%s="%s"`, sep, labels[i], labelEscaper.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")))
	}
	if len(labels) > 0 {
		m.w.WriteByte('}')
	}
	fmt.Fprintf(m.w, " %v\n", value)
}

func (m *metrics) gauge(name, help string, value float64) {
	m.family(name, "gauge", help)
	m.sample(value)
}

func (m *metrics) counter(name, help string, value float64) {
	m.family(name, "counter", help)
	m.sample(value)
}

// labelEscaper is the format's rule for label values. A Replacer builds itself at its first use.
var labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func age(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return d.Seconds()
}
