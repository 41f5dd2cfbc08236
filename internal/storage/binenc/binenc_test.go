package binenc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// A field of any kind with any value reads as it was written, and nothing is left over.
func TestFieldsReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var reads []func(r *Reader)
		for range rapid.IntRange(0, 20).Draw(t, "fields") {
			switch rapid.IntRange(0, 6).Draw(t, "kind") {
			case 0:
				v := rapid.Uint64().Draw(t, "uvarint")
				b = binary.AppendUvarint(b, v)
				reads = append(reads, func(r *Reader) { equal(t, r.Uvarint(), v) })
			case 1:
				v := rapid.Int64().Draw(t, "varint")
				b = binary.AppendVarint(b, v)
				reads = append(reads, func(r *Reader) { equal(t, r.Varint(), v) })
			case 2:
				v := rapid.String().Draw(t, "string")
				b = AppendString(b, v)
				reads = append(reads, func(r *Reader) { equal(t, r.String(), v) })
			case 3:
				v := rapid.Bool().Draw(t, "bool")
				b = AppendBool(b, v)
				reads = append(reads, func(r *Reader) { equal(t, r.Bool(), v) })
			case 4:
				v := rapid.OneOf(rapid.StringMatching(`[0-9a-f]{32}`), rapid.StringMatching(`[0-9a-fA-F]{32}(-[0-9]+)?`), rapid.String()).Draw(t, "etag")
				b = AppendETag(b, v)
				reads = append(reads, func(r *Reader) { equal(t, r.ETag(), v) })
			case 5:
				v := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash")
				b = append(b, v...)
				reads = append(reads, func(r *Reader) {
					var got [32]byte
					r.Fixed(got[:])
					equal(t, got, [32]byte(v))
				})
			case 6:
				v := rapid.Int64Range(0, 1<<40).Draw(t, "number")
				b = binary.AppendUvarint(b, uint64(v))
				reads = append(reads, func(r *Reader) { equal(t, r.Number(1<<40), v) })
			}
		}
		r := NewReader(b)
		for _, read := range reads {
			read(r)
		}
		if r.Err() != nil || r.Len() != 0 {
			t.Fatalf("%d bytes are left over, %v", r.Len(), r.Err())
		}
	})
}

func equal[T comparable](t *rapid.T, got, want T) {
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestMistakesAreKeptAndReadAsZero(t *testing.T) {
	for _, tc := range []struct {
		name  string
		input []byte
		read  func(r *Reader) bool // whether it read as zero
	}{
		{"no number", nil, func(r *Reader) bool { return r.Uvarint() == 0 }},
		{"half a number", []byte{0x80}, func(r *Reader) bool { return r.Varint() == 0 }},
		{"a number over 64 bits", bytes.Repeat([]byte{0xff}, 11), func(r *Reader) bool { return r.Uvarint() == 0 }},
		{"a number over the limit", []byte{9}, func(r *Reader) bool { return r.Number(8) == 0 }},
		{"a string that is longer than the input", []byte{5, 'a'}, func(r *Reader) bool { return r.String() == "" }},
		{"a text over the limit", []byte{2, 'a', 'b'}, func(r *Reader) bool { return r.Text(1) == "" }},
		{"half an MD5", append([]byte{1}, make([]byte, 15)...), func(r *Reader) bool { return r.ETag() == "" }},
		{"half a hash", make([]byte, 31), func(r *Reader) bool { var h [32]byte; r.Fixed(h[:]); return h == [32]byte{} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReader(tc.input)
			if !tc.read(r) {
				t.Error("it read as something")
			}
			if !errors.Is(r.Err(), ErrDamaged) {
				t.Errorf("Err() = %v", r.Err())
			}
			if r.Uvarint() != 0 || r.String() != "" || r.Byte() != 0 {
				t.Error("a field after the mistake read as something")
			}
		})
	}
}

func TestPaddedReaderReadsMissingFieldsAsZero(t *testing.T) {
	r := NewPaddedReader([]byte{7})
	if r.Uvarint() != 7 || r.Varint() != 0 || r.String() != "" || r.Bool() || r.ETag() != "" || r.Err() != nil {
		t.Errorf("a record that ends early: %v", r.Err())
	}
	if r := NewPaddedReader([]byte{5, 'a'}); r.String() != "" || !errors.Is(r.Err(), ErrDamaged) {
		t.Error("a field that is there in part is no mistake")
	}
}

// With any input each read ends, and what it gives is no larger than the input.
func FuzzReader(f *testing.F) {
	f.Add(AppendETag(AppendString(nil, "a"), "d41d8cd98f00b204e9800998ecf8427e"), []byte{0, 1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, input, ops []byte) {
		for _, r := range []*Reader{NewReader(input), NewPaddedReader(input)} {
			for _, op := range ops {
				before := r.Len()
				var got int
				switch op % 8 {
				case 0:
					r.Uvarint()
				case 1:
					r.Varint()
				case 2:
					got = len(r.String())
				case 3:
					got = len(r.ETag()) / 2
				case 4:
					var h [32]byte
					r.Fixed(h[:])
				case 5:
					got = len(r.Bytes(uint64(op)))
				case 6:
					r.Bool()
				case 7:
					got = len(r.Text(int64(op)))
				}
				if got > before || r.Len() > before {
					t.Fatalf("%d bytes were read of %d, %d are left", got, before, r.Len())
				}
			}
		}
	})
}
