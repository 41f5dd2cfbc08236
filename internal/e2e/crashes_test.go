//go:build !long

package e2e

// crashes is how often each of the crash loops kills: `make long` kills more often.
const crashes = 3
