//go:build !long

package storage

// crashes is how often each of the crash loops kills: `make long` kills more often.
const crashes = 3
