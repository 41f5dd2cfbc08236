//go:build long

package run

// programKills is how often a program is killed while it prepares a sandbox.
const programKills = 200
