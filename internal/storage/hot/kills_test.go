//go:build !long

package hot

// kills of TestKilledAtAnyInstant; with the tag long there are 200.
const (
	kills         = 60
	databaseKills = 12
)
