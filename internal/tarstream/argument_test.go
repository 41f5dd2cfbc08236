package tarstream

import (
	"flag"
	"io"
	"testing"
	"unicode/utf8"
)

// Paths of any bytes arrive, and what is passed on is text.
func TestPathArgumentsKeepEveryPath(t *testing.T) {
	for _, path := range []string{"/home/agent/a b", "-x", "ü", "/home/agent/\xff\xfe", "\xc3", "a\nb", "--hex"} {
		args := PathArguments(path)
		for _, a := range args {
			if !utf8.ValidString(a) {
				t.Errorf("%q is passed on as %q", path, args)
			}
		}
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		if got, err := ParsePath(flags, args); err != nil || got != path {
			t.Errorf("%q arrives as %q, %v", path, got, err)
		}
	}
}
