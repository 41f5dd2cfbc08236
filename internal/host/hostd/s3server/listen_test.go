package s3server

import (
	"slices"
	"testing"
)

// TestListenersArePairedByAddress, in every order in which the kernel may give them out.
func TestListenersArePairedByAddress(t *testing.T) {
	asked := []string{":0", "127.0.0.1:0", "/run/s3.sock", "127.0.0.1:9000", "[::1]:0"}
	want := []string{"[::1]:41", "127.0.0.1:42", "/run/s3.sock", "127.0.0.1:9000", "[::1]:43"}
	equal := [][]string{want, {"[::1]:43", "127.0.0.1:42", "/run/s3.sock", "127.0.0.1:9000", "[::1]:41"}}
	permutations(slices.Clone(want), func(bound []string) {
		got, ok := pair(asked, bound)
		if !ok || !slices.ContainsFunc(equal, func(e []string) bool { return slices.Equal(got, e) }) {
			t.Fatalf("%q are bound: %q, %v", bound, got, ok)
		}
	})
	for _, bound := range [][]string{nil, want[:4], {"a", "b", "c", "d", "e"}} {
		if got, ok := pair(asked, bound); ok {
			t.Errorf("%q are bound: %q", bound, got)
		}
	}
}

// permutations calls do with every order of s.
func permutations(s []string, do func([]string)) {
	var from func(int)
	from = func(n int) {
		if n == len(s) {
			do(slices.Clone(s))
			return
		}
		for i := n; i < len(s); i++ {
			s[n], s[i] = s[i], s[n]
			from(n + 1)
			s[n], s[i] = s[i], s[n]
		}
	}
	from(0)
}
