package conformance

import "slices"

// checks are all checks of the suite, in the contract's order of families. A test holds
// them equal to the contract's requirements, one to one.
var checks = slices.Concat(
	pathChecks, commandChecks, pythonChecks, entryChecks, environmentChecks, userChecks,
	lifecycleChecks, hotChecks, coldChecks, hardeningChecks, manifestChecks, variantChecks,
)

// StaticIDs are the requirements that are judged without starting a container.
func StaticIDs() []string {
	var out []string
	for _, c := range checks {
		if c.Static {
			out = append(out, c.ID)
		}
	}
	return out
}
