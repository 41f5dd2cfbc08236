//go:build !long

package cold_test

// part is which fraction of the model's operations is run: enough to see a blunder. make long runs
// all of them.
const part = 20
