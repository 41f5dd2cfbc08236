// Package conflict names the copy of a local file whose name in S3 another client took, and moves a
// database with all its files there.
//
// Theirs keeps the name; ours becomes NAME.conflict-SANDBOX_ID-TIME beside it. The
// form is a promise: people and programs look for ".conflict-".
package conflict

import (
	"time"
	"unicode/utf8"
)

// nameMax is the longest name of a file, in bytes (NAME_MAX, limits.h).
const nameMax = 255

// timeForm is RFC 3339's basic form in UTC, to the millisecond: it sorts, and has no
// character that a shell or another file system minds.
const timeForm = "20060102T150405.000Z"

// Name is the conflict copy's name for a file called name, a single component. What
// would be longer than a name can be loses the end of its first part, at a whole
// character where name is UTF-8. Two copies of one file in one millisecond get the
// same name: a caller that finds it taken asks again with a later time.
func Name(name, sandboxID string, t time.Time) string {
	suffix := ".conflict-" + sandboxID + "-" + t.UTC().Format(timeForm)
	return cut(name, nameMax-len(suffix)) + suffix
}

func cut(name string, size int) string {
	if len(name) <= size {
		return name
	}
	size = max(size, 0)
	short := name[:size]
	for n := 1; n < utf8.UTFMax && n <= size; n++ {
		if r, w := utf8.DecodeRuneInString(name[size-n:]); w > n && r != utf8.RuneError {
			return name[:size-n] // the cut went through this character
		}
	}
	return short
}
