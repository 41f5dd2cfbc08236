package watch

import (
	"math"
	"testing"
)

func TestShareIsAPartOfTheKernelsLimit(t *testing.T) {
	for limit, want := range map[string]int{"1048576\n": 65536, "8192\n": 512, "15\n": 0, "0\n": 0, "": math.MaxInt, "many": math.MaxInt} {
		if got := shareIn(limit); got != want {
			t.Errorf("of %q: %d, want %d", limit, got, want)
		}
	}
	if n := Share(); n <= 0 {
		t.Errorf("this machine gives a share of %d", n)
	}
}
