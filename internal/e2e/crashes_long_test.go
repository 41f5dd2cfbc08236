//go:build long

package e2e

const crashes = 12
