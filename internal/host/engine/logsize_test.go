package engine

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// The measure is that of the engine's own encoding.
func TestLogMeterMeasuresAsTheEngineStores(t *testing.T) {
	for _, line := range []string{"plain\n", "\n", "\"quoted\" and \\ \t\r\x01\x1b[0m <&>\n", "ünïcödé \u2028 \xff\n"} {
		var m LogMeter
		if _, err := io.WriteString(m.Through(io.Discard), line); err != nil {
			t.Fatal(err)
		}
		stored, err := json.Marshal(struct {
			Log    string `json:"log"`
			Stream string `json:"stream"`
			Time   string `json:"time"`
		}{line, "stdout", "2006-01-02T15:04:05.999999999Z"})
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(len(stored) + 1); m.size != want {
			t.Errorf("%q measures %d, and is stored in %d: %s", line, m.size, want, stored)
		}
	}
}

// A log is taken for whole as long as no file of it can have gone.
func TestLogMeterSaysWhenTheBeginningMayBeMissing(t *testing.T) {
	line := []byte(strings.Repeat("x", 1000) + "\n")
	entry := int64(len(line)) + 1 + int64(entrySize)
	for lines, cut := range map[int64]bool{logWhole/entry - 1: false, logWhole/entry + 1: true} {
		var m LogMeter
		if _, err := m.Through(io.Discard).Write(bytes.Repeat(line, int(lines))); err != nil || m.Cut() != cut {
			t.Errorf("%d lines: %t, %v", lines, m.Cut(), err)
		}
	}
}
