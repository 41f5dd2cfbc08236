package terminal

import "testing"

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"plain text\n":                             "plain text",
		"\x1b]0;title\x07\x1b[2Jgone":              "?]0;title??[2Jgone",
		"two\nlines\r":                             "two?lines",
		"bad \xff\xfe bytes":                       "bad ?? bytes",
		"right\u202eto left":                       "right?to left",
		"Grüße, 世界":                                "Grüße, 世界",
		"0123456789012345678901234567890123456789": "012345678901234567890123456789...",
	} {
		if got := Plain(text, 30); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
