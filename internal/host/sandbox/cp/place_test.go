package cp

import (
	"strings"
	"testing"
)

func TestParsePlace(t *testing.T) {
	for text, want := range map[string]Place{
		"box:file": {"box", "file"}, "box:": {"box", "."}, "box:/a:b": {"box", "/a:b"}, "file": {"", "file"}, "./box:file": {"", "./box:file"}, "/a:b": {"", "/a:b"},
		"-": {"", "-"}, "": {"", ""}, ":x": {"", ":x"}, "a b:c": {"", "a b:c"}, "dir/x:y": {"", "dir/x:y"},
	} {
		if got := ParsePlace(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct{ src, dst, want string }{
		{"a", "b", "one must be ID:PATH"}, {"x:a", "y:b", "sandbox cp x:a - | sandbox cp - y:b"}, {"", "x:a", "empty"}, {"x:a", "", "empty"}, {"-", "x:a", ""}, {"x:a", "-", ""},
	} {
		err := Check(ParsePlace(tc.src), ParsePlace(tc.dst))
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s to %s: %v", tc.src, tc.dst, err)
		}
	}
}

// What the other end says cannot act on a terminal, and is not kept without bound.
func TestWhatIsSaid(t *testing.T) {
	var said tail
	for range 1000 {
		said.Write([]byte(strings.Repeat("x", 100) + "\x1b[2J\n"))
	}
	said.Write([]byte("the last\n"))
	lines := said.lines()
	if len(said.b) > maxSaid || lines[len(lines)-1] != "the last" || strings.Contains(strings.Join(lines, ""), "\x1b") {
		t.Errorf("%d bytes, %q", len(said.b), lines[len(lines)-1])
	}
}
