//go:build long

package cold_test

// part is which fraction of the model's operations is run.
const part = 1
