package terminal

import (
	"strings"
	"unicode"
)

// Plain is a text from another process, as one line that can do nothing to a
// terminal: what is not printable is shown as a question mark, and what goes beyond most
// bytes is cut off.
func Plain(text string, most int) string {
	text = strings.TrimSpace(text)
	cut := len(text) > most
	if cut {
		text = text[:most]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar, !unicode.IsPrint(r) && r != ' ':
			return '?'
		}
		return r
	}, text)
	if cut {
		text += "..."
	}
	return text
}
