package conformance_test

import (
	"context"
	"fmt"

	"github.com/matrx/sandbox/conformance"
	"github.com/matrx/sandbox/contract/spec"
)

// A requirement of the importer's own, with a check that starts a sandbox. Pass it to Run or Execute in
// Options.Extra.
func ExampleExtra() {
	ghostscript := conformance.Extra{
		Requirement: spec.Requirement{
			ID: "TEAM-001", Level: spec.Must, Needs: []string{"LIFE-001"},
			Text: "Ghostscript can be started by the agent.",
		},
		Check: conformance.Check{ID: "TEAM-001", Run: func(ctx context.Context, e *conformance.Env) error {
			s, err := e.Start(ctx, conformance.Start{Mode: conformance.AsRoot})
			if err != nil {
				return err
			}
			if err := s.WaitReady(ctx); err != nil {
				return err
			}
			code, out, err := s.Exec(ctx, "1000", "gs", "--version")
			if err != nil {
				return err
			}
			if code != 0 {
				return conformance.Fail("gs --version ends with an error: "+out, "install ghostscript")
			}
			e.Saw("ghostscript %s", out)
			return nil
		}},
	}
	fmt.Println(ghostscript.Requirement.ID, ghostscript.Requirement.Text)
	// Output: TEAM-001 Ghostscript can be started by the agent.
}
