package conformance

import (
	"time"

	"github.com/matrx/sandbox/contract/spec"
)

// Status is how a requirement was judged.
type Status string

// The statuses.
const (
	Pass         Status = "pass"
	Failed       Status = "fail"
	Error        Status = "error"
	NotSupported Status = "unsupported"
	Skipped      Status = "skipped"
	NotRun       Status = "not run"
)

// Verdict is what all results together say of an image.
type Verdict string

// The verdicts.
const (
	Conformant    Verdict = "conformant"
	Partial       Verdict = "partial"
	NotConformant Verdict = "not conformant"
)

// Result is one requirement, judged.
type Result struct {
	Requirement spec.Requirement `json:"-"`
	ID          string           `json:"id"`
	Level       spec.Level       `json:"level"`
	Text        string           `json:"text"`
	Status      Status           `json:"status"`
	Reason      string           `json:"reason,omitempty"`
	Remedy      string           `json:"remedy,omitempty"`
	Evidence    []string         `json:"evidence,omitempty"` // what was seen, for people
	Took        time.Duration    `json:"took_ns"`
}

// Report is all that one run of the suite found.
type Report struct {
	Verdict  Verdict       `json:"verdict"`
	Image    string        `json:"image"`
	Digest   string        `json:"image_digest"` // the image's ID: the digest of its configuration
	Parent   string        `json:"parent,omitempty"`
	Contract string        `json:"contract_version"`
	Profile  string        `json:"profile"`
	Suite    string        `json:"suite_version"` // the suite's module version or commit
	Engine   string        `json:"engine"`
	Started  time.Time     `json:"started"`
	Took     time.Duration `json:"took_ns"`
	Results  []Result      `json:"results"` // in the contract's order, then the importer's own
}

// verdict judges the whole. What is not a MUST is reported and decides nothing; a run in
// which no MUST was judged at all proves nothing.
func verdict(results []Result) Verdict {
	judged, partial := false, false
	for _, r := range results {
		if r.Level != spec.Must {
			continue
		}
		switch r.Status {
		case Failed, Error:
			return NotConformant
		case Skipped, NotRun:
			partial = true
		default:
			judged = true
		}
	}
	if partial || !judged {
		return Partial
	}
	return Conformant
}

// Count is how many results have a status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, result := range r.Results {
		if result.Status == s {
			n++
		}
	}
	return n
}
