package build

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestStepsAreFoundInWhatTheBuilderSays(t *testing.T) {
	var got []string
	r := &stepReader{step: func(s string) { got = append(got, s) }}
	text := "#1 [internal] load build definition\n#5 [2/6] RUN true\n#12 [core 3/9] COPY a b\n#12 DONE 0.1s\n#7 0.2 [1/2] not a step\n#8 [foundation 1/8] FROM x"
	// However the writes are cut.
	for _, b := range []byte(text + "\n") {
		if _, err := r.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"2/6 RUN true", "core 3/9 COPY a b", "foundation 1/8 FROM x"}; !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
}

func TestTheEndOfALogIsKept(t *testing.T) {
	l := &lastLines{}
	for i := range 100000 {
		fmt.Fprintf(l, "line %d\n", i)
	}
	io.WriteString(l, "the last")
	text := l.String()
	if !strings.HasPrefix(text, "line 99961\n") || !strings.HasSuffix(text, "line 99999\nthe last") {
		t.Errorf("kept %q", text)
	}
	if len(l.data) > 2*keptBytes {
		t.Errorf("%d bytes are kept", len(l.data))
	}
}
