package check

import "testing"

func TestAVersionIsWhatWasPromised(t *testing.T) {
	for _, tc := range []struct {
		version, promised string
		want              bool
	}{
		{"3.13.5", "3.13", true}, {"3.13", "3.13", true}, {"v22.1.0", "22", true}, {"2.47.3-1+deb13u1", "2.47.3", true},
		{"3.1", "3.13", false}, {"3.13.5", "3.1", false}, {"22.1", "2", false}, {"", "3", false}, {"13.3", "3", false},
	} {
		if got := isVersion(tc.version, tc.promised); got != tc.want {
			t.Errorf("%q for %q: %v", tc.version, tc.promised, got)
		}
	}
}
