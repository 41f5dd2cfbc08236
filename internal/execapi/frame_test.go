package execapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestFramesComeAsTheyWereSent(t *testing.T) {
	var wire bytes.Buffer
	sent := []Frame{{FrameStdout, []byte("abc")}, {FrameStdinEnd, nil}, {FrameStderr, bytes.Repeat([]byte{7}, MaxPayload)}, {200, []byte{0}}}
	for _, f := range sent {
		if err := WriteFrame(&wire, f.Type, f.Payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteFrame(&wire, FrameStdout, make([]byte, MaxPayload+1)); err == nil {
		t.Error("a frame that is too long was sent")
	}
	r := NewFrameReader(bufio.NewReader(&wire))
	for _, want := range sent {
		got, err := r.Next()
		if err != nil || got.Type != want.Type || !bytes.Equal(got.Payload, want.Payload) {
			t.Errorf("%d, %d bytes, %v", got.Type, len(got.Payload), err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestFramesThatAreWrong(t *testing.T) {
	for name, bytes := range map[string]string{
		"in the header":  "\x02\x00",
		"in the payload": "\x02\x00\x00\x04abc",
		"too long":       "\x02\x01\x00\x01" + string(make([]byte, MaxPayload+1)),
	} {
		if f, err := NewFrameReader(bufio.NewReader(newReader(bytes))).Next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func newReader(s string) io.Reader { return bytes.NewReader([]byte(s)) }

// FuzzFrames: on any bytes the reader ends, and a writer makes the same bytes of the frames that it took.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x03abc\x06\x00\x00\x02{}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewFrameReader(bufio.NewReader(bytes.NewReader(b)))
		var again bytes.Buffer
		for {
			frame, err := r.Next()
			if err != nil {
				if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !bytes.Equal(again.Bytes(), b) {
					t.Errorf("of %q it took %q", b, again.Bytes())
				}
				return
			}
			if err := WriteFrame(&again, frame.Type, frame.Payload); err != nil {
				t.Error(err)
			}
			var x Exec
			_ = frame.JSON(&x)
		}
	})
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{"a": true, "A0._-": true, "": false, ".a": false, "a/b": false, "a\x00": false, "ä": false, string(make([]byte, 65)): false} {
		if ValidID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}
