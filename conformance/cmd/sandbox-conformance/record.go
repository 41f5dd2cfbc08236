package main

import (
	"fmt"
	"os"

	"github.com/matrx/sandbox/conformance"
	"github.com/matrx/sandbox/contract/spec"
	"github.com/matrx/sandbox/contract/verdict"
)

// record leaves the verdict where `sandbox select` finds it. One that cannot be left is said, and
// changes nothing about the image.
func (c *cli) record(r *conformance.Report) {
	if !worthRecording(r, len(c.Feature)+len(c.Only)+len(c.Skip) > 0 || c.Contract != "") {
		return
	}
	dir, err := verdict.Dir()
	if err == nil {
		err = verdict.Save(dir, recordOf(r))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "sandbox-conformance: %v; to `sandbox select` it is as if the suite had not run\n", err)
	}
}

// worthRecording says whether a run says something of the image as a whole. One that was
// narrowed does only when it found a requirement that does not hold.
func worthRecording(r *conformance.Report, narrowed bool) bool {
	return !narrowed || len(failed(r)) > 0
}

func recordOf(r *conformance.Report) verdict.Record {
	return verdict.Record{
		Digest: r.Digest, Image: r.Image, Verdict: string(r.Verdict), Contract: r.Contract, Profile: r.Profile,
		Suite: r.Suite, Ended: r.Started.Add(r.Took).UTC(), Failed: failed(r),
	}
}

// failed are the IDs of the MUSTs that do not hold. One that could not be judged for an
// error of the suite's is not among them.
func failed(r *conformance.Report) []string {
	var out []string
	for _, result := range r.Results {
		if result.Level == spec.Must && result.Status == conformance.Failed {
			out = append(out, result.ID)
		}
	}
	return out
}
