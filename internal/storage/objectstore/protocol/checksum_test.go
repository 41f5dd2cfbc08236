package protocol

import (
	"bytes"
	"encoding/hex"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"testing"
)

// TestCheckValues: "123456789" in the catalogue of parametrised CRC algorithms.
func TestCheckValues(t *testing.T) {
	for algorithm, want := range map[string]string{"crc32": "cbf43926", "crc32c": "e3069283", "crc64nvme": "ae8b14860a799888"} {
		h := Checksum{Algorithm: algorithm}.Hash()
		h.Write([]byte("123456789"))
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: %s, want %s", algorithm, got, want)
		}
	}
}

func FuzzCombine(f *testing.F) {
	f.Add([]byte("123"), []byte("456789"))
	f.Add([]byte{}, []byte("x"))
	f.Add([]byte("x"), []byte{})
	f.Add(bytes.Repeat([]byte{0}, 1000), bytes.Repeat([]byte{255}, 4097))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		whole := append(append([]byte(nil), a...), b...)
		for _, algorithm := range []string{"crc32", "crc32c", "crc64nvme"} {
			c := Checksum{Algorithm: algorithm}
			sum := func(p []byte) []byte { h := c.Hash(); h.Write(p); return h.Sum(nil) }
			if got := c.Combine(sum(a), sum(b), int64(len(b))); !bytes.Equal(got, sum(whole)) {
				t.Fatalf("%s: %x, want %x", algorithm, got, sum(whole))
			}
		}
		table := Castagnoli()
		if got := CombineCRC32C(crc32.Checksum(a, table), crc32.Checksum(b, table), int64(len(b))); got != crc32.Checksum(whole, table) {
			t.Fatal("CombineCRC32C")
		}
	})
}

func TestChecksumOf(t *testing.T) {
	for _, c := range []struct {
		header map[string]string
		want   string
	}{
		{map[string]string{"X-Amz-Checksum-Crc32c": "AAAAAA=="}, "crc32c"},
		{map[string]string{"X-Amz-Checksum-Crc64nvme": "AAAAAA==", "X-Amz-Checksum-Type": "FULL_OBJECT"}, "crc64nvme"},
		{map[string]string{"X-Amz-Checksum-Crc32c": "AAAAAA==-3", "X-Amz-Checksum-Type": "COMPOSITE"}, ""},
		{map[string]string{"X-Amz-Checksum-Sha256": "AAAAAA==", "X-Amz-Checksum-Type": "COMPOSITE"}, ""},
		{map[string]string{"X-Amz-Checksum-Crc32c": "AAAAAA==-3"}, ""},
		{map[string]string{"X-Amz-Checksum-Sha1": "x"}, "sha1"},
		{nil, ""},
	} {
		h := http.Header{}
		for k, v := range c.header {
			h.Set(k, v)
		}
		got := ChecksumOf(h)
		if got.Algorithm != c.want || (got.Hash() == nil) != (c.want == "") {
			t.Errorf("%v: %+v", c.header, got)
		}
	}
}

func BenchmarkNVMe(b *testing.B) {
	p := make([]byte, 16<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		crc64.Checksum(p, nvme())
	}
}
