//go:build long

package run

import "time"

// programKills is how often a program is killed while it prepares a sandbox.
const programKills = 200

// modelSteps and modelTime end the model of commands and kills.
const (
	modelSteps = 1 << 30
	modelTime  = 10 * time.Minute
)
