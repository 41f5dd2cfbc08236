package conflict

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	at := time.Date(2026, 11, 22, 23, 4, 5, 67_890_000, time.FixedZone("", 3600))
	const stamp = "20261122T220405.067Z"
	long := strings.Repeat("x", 255)
	id := strings.Repeat("i", 128)
	for _, c := range []struct{ what, name, id, want string }{
		{"plain", "notes.md", "s1", "notes.md.conflict-s1-" + stamp},
		{"cut to 255 bytes", long, "s1", long[:255-len(".conflict-s1-")-len(stamp)] + ".conflict-s1-" + stamp},
		{"longest sandbox id", long, id, long[:255-len(".conflict--")-128-len(stamp)] + ".conflict-" + id + "-" + stamp},
		{"not UTF-8", "\xff\xfe", "s1", "\xff\xfe.conflict-s1-" + stamp},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := Name(c.name, c.id, at)
			if got != c.want {
				t.Errorf("Name(%q) = %q, want %q", c.name, got, c.want)
			}
			if len(got) > 255 {
				t.Errorf("%d bytes, a name has at most 255", len(got))
			}
		})
	}
}

// A name of whole characters is never cut through one, wherever the cut falls.
func TestNameKeepsCharactersWhole(t *testing.T) {
	for _, char := range []string{"é", "語", "🙂"} {
		for shift := range 4 {
			name := strings.Repeat("a", shift) + strings.Repeat(char, 240/len(char))
			got := Name(name, "sandbox", time.Unix(0, 0))
			if !utf8.ValidString(got) {
				t.Errorf("%q is cut through a character: %q", name, got)
			}
			if len(got) < 255-3 {
				t.Errorf("%d bytes of %q: more was cut than had to be", len(got), name)
			}
		}
	}
}

// The name of a file that ends in broken UTF-8 is cut at the limit, no earlier.
func TestNameOfBrokenEncoding(t *testing.T) {
	if got := Name(strings.Repeat("\xf0", 255), "s", time.Unix(0, 0)); len(got) != 255 {
		t.Errorf("%d bytes, want 255", len(got))
	}
}
