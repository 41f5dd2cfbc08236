package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/matrx/sandbox/contract/spec"
)

// RunProbes runs probes in one container and fails with all that did not pass. What a probe says is
// held against the version that is promised under its name; versions may be nil.
func (e *Env) RunProbes(ctx context.Context, probes map[string]spec.Probe, versions map[string]string, remedy string) error {
	s, err := e.Bare(ctx)
	if err != nil {
		return err
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(probes)) {
		code, out, err := s.Exec(ctx, "", probes[name].Run...)
		if err != nil {
			return err
		}
		if err := probes[name].Check(code, out); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", name, err))
			continue
		}
		v := probes[name].Version(out)
		if v != "" {
			e.Saw("%s %s", name, v)
		}
		if promised, ok := versions[name]; ok && !isVersion(v, promised) {
			wrong = append(wrong, fmt.Sprintf("%s is %q, and %s was promised", name, v, promised))
		}
	}
	if len(wrong) > 0 {
		return Fail(Sample(wrong), remedy)
	}
	return nil
}

// isVersion says whether a version is one that a promise stands for: 3.13 is every 3.13.x.
func isVersion(version, promised string) bool {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(version, "v"), promised)
	return ok && (rest == "" || rest[0] < '0' || rest[0] > '9')
}
