package engine

import (
	"io"
	"unicode/utf8"
)

// The engine keeps a sandbox's output in a log of its own, which a chatty workload must not fill the
// host's disk with: in logFiles files of logFileSize bytes, of which the oldest goes when the last is full.
const (
	logFileSize = 10 << 20
	logFiles    = 3
)

// logWhole is how much of a log there can be with nothing gone of it: a file that went has left the others full.
const logWhole = logFileSize * (logFiles - 1)

// MaxOutput is about how much output is kept whole, in bytes; of more, at least that much of the newest.
const MaxOutput = logWhole

// LogMeter measures a log that is read through it as the engine stores it.
type LogMeter struct{ size int64 }

// Cut says whether the beginning of the log may be gone.
func (m *LogMeter) Cut() bool { return m.size >= logWhole }

// Through gives a writer that measures what is written to w.
func (m *LogMeter) Through(w io.Writer) io.Writer { return metered{m, w} }

type metered struct {
	m *LogMeter
	w io.Writer
}

// entrySize is what a line takes besides its text: docker's json-file has
// {"log":"TEXT","stream":"stdout","time":"2006-01-02T15:04:05.999999999Z"} and a newline.
const entrySize = len(`{"log":"","stream":"stdout","time":"2006-01-02T15:04:05.999999999Z"}`) + 1

func (w metered) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		w.m.size += int64(storedSize(r, n))
		rest = rest[n:]
	}
	return w.w.Write(b)
}

// storedSize is how many bytes of JSON a character takes.
func storedSize(r rune, n int) int {
	switch {
	case r == '\n':
		return 2 + entrySize
	case r == '"', r == '\\', r == '\r', r == '\t':
		return 2
	case r < ' ', r == '<', r == '>', r == '&', r == '\u2028', r == '\u2029', r == utf8.RuneError && n == 1:
		return 6
	}
	return n
}
