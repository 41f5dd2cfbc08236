//go:build long

package storage

const crashes = 12
