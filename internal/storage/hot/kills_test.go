//go:build !long

package hot

import "github.com/matrx/sandbox/internal/testbed/ledger"

const (
	// kills of TestKilledAtAnyInstant; with the tag long there are 200.
	kills = 60
	// databaseKills of TestDatabasesOutliveKills; with the tag long there are 200.
	databaseKills = 12
)

var databaseModes = []ledger.Mode{ledger.WAL, ledger.Delete}
