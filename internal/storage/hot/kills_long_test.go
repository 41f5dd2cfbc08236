//go:build long

package hot

// kills of TestKilledAtAnyInstant.
const (
	kills         = 200
	databaseKills = 200
)
