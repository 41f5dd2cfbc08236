//go:build long

package hot

import "github.com/matrx/sandbox/internal/testbed/ledger"

const (
	// kills of TestKilledAtAnyInstant.
	kills = 200
	// databaseKills of TestDatabasesOutliveKills.
	databaseKills = 200
)

var databaseModes = ledger.Modes
