package hot

import "testing"

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name  string
		known known
		seen  seen
		want  decision
	}{
		{"a new file", known{}, seenFile, store},
		{"a file as it was stored", known{stored: true, current: true}, seenFile, agree},
		{"a file that looks otherwise", known{stored: true}, seenFile, store},
		{"a file that is back, as it was, before its deletion was sent", known{stored: true, current: true, tombstone: true}, seenFile, store},
		{"a file whose newer write may have arrived", known{stored: true, current: true, unresolved: true}, seenFile, store},
		{"a file that is being written", known{stored: true, current: true, flying: true}, seenFile, agree},
		{"a file whose name was retained", known{stored: true, retained: true}, seenFile, store},
		{"a directory", known{}, seenDirectory, store},
		{"a directory whose marker is stored", known{stored: true, current: true}, seenDirectory, store},
		{"nothing, and S3 has nothing", known{}, seenNothing, agree},
		{"nothing, and S3 has the object", known{stored: true}, seenNothing, remove},
		{"nothing, and a first write may have arrived", known{unresolved: true}, seenNothing, remove},
		{"nothing, and a first write is under way", known{flying: true}, seenNothing, remove},
		{"nothing, and a second key means the name", known{twin: true}, seenNothing, remove},
		{"nothing, where the file was moved to where nothing is kept", known{stored: true, retained: true}, seenNothing, retain},
		{"nothing, where another device was", known{stored: true, foreign: true}, seenNothing, suspend},
		{"nothing, where another device was, and S3 has nothing", known{foreign: true}, seenNothing, agree},
	} {
		if got := decide(c.known, c.seen); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// An object is removed for no look that found something, and never one that is protected.
func TestDecideRemovesNothingElse(t *testing.T) {
	for n := range 1 << 8 {
		bit := func(i int) bool { return n>>i&1 == 1 }
		k := known{stored: bit(0), current: bit(1), tombstone: bit(2), unresolved: bit(3), flying: bit(4), retained: bit(5), foreign: bit(6), twin: bit(7)}
		for _, s := range []seen{seenNothing, seenFile, seenDirectory} {
			got := decide(k, s)
			switch {
			case got == 0:
				t.Errorf("%+v, %d: no decision", k, s)
			case got == remove && (s != seenNothing || k.stored && (k.retained || k.foreign)):
				t.Errorf("%+v, %d: removed", k, s)
			case s != seenNothing && got != store && got != agree:
				t.Errorf("%+v, %d: %d of what is there", k, s, got)
			}
		}
	}
}
