package objectstore

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestCorruption: what arrives otherwise than it was sent is noticed, both ways and in
// each form, and mended where it can be.
func TestCorruption(t *testing.T) {
	b := newBench(t, smallParts)
	small, large := content(100_000), content(3*minPart)
	write := func(key string, body []byte) error {
		_, err := b.store.Put(t.Context(), key, bytes.NewReader(body), int64(len(body)), PutOptions{})
		return err
	}
	t.Run("an upload is sent again", func(t *testing.T) {
		f := b.fault("PUT", 1, testbed.CorruptRequest(50_000))
		if err := write("small", small); err != nil || f.Hits() != 1 {
			t.Errorf("%v, %d hits", err, f.Hits())
		}
		b.bucket.Want("small", string(small))
	})
	t.Run("an upload that never arrives whole fails", func(t *testing.T) {
		f := b.fault("PUT", 0, testbed.CorruptRequest(50_000))
		defer f.Remove()
		if err := write("bad", small); err == nil || f.Hits() != fewAttempts {
			t.Errorf("%v, %d hits", err, f.Hits())
		} else {
			b.want(err, ErrChecksum)
		}
		b.bucket.WantNone("bad")
	})
	t.Run("a part is sent again", func(t *testing.T) {
		f := b.fault("PART", 2, testbed.CorruptRequest(50_000))
		if err := write("large", large); err != nil || f.Hits() != 2 {
			t.Errorf("%v, %d hits", err, f.Hits())
		}
		b.bucket.Want("large", string(large))
	})
	t.Run("a download is refused", func(t *testing.T) {
		b.fault("GET", 1, testbed.CorruptResponse(50_000))
		got, err := b.get("small", GetOptions{})
		b.want(err, ErrChecksum)
		if len(got) != len(small) {
			t.Errorf("%d bytes", len(got))
		}
	})
	t.Run("Download reads again", func(t *testing.T) {
		for key, body := range map[string][]byte{"small": small, "large": large} {
			f := b.fault("GET", 1, testbed.CorruptResponse(50_000))
			w := &memory{}
			if _, err := b.store.Download(t.Context(), key, w, DownloadOptions{}); err != nil || !bytes.Equal(w.b, body) || f.Hits() != 1 {
				t.Errorf("%s: %v, %d hits", key, err, f.Hits())
			}
		}
	})
	t.Run("Download gives up", func(t *testing.T) {
		for _, key := range []string{"small", "large"} {
			f := b.fault("GET", 0, testbed.CorruptResponse(50_000))
			_, err := b.store.Download(t.Context(), key, &memory{}, DownloadOptions{})
			b.want(err, ErrChecksum)
			f.Remove()
		}
	})
}

// TestChecksumsOfOthers: objects that other tools wrote, with the checksums they choose.
func TestChecksumsOfOthers(t *testing.T) {
	b := newBench(t)
	body := string(content(1000))
	for _, algorithm := range []string{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		key := "with-" + algorithm
		b.bucket.PutWith(key, body, algorithm)
		r, err := b.store.Get(t.Context(), key, GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r.hash == nil {
			t.Errorf("%s: not checked: %+v", algorithm, r.checksum)
		}
		r.Close()
		if got, err := b.get(key, GetOptions{}); err != nil || got != body {
			t.Errorf("%s: %v", algorithm, err)
		}
		b.fault("GET", 1, testbed.CorruptResponse(500))
		_, err = b.get(key, GetOptions{})
		b.want(err, ErrChecksum)
	}
}

// TestStoreWithoutChecksums: some stores refuse the headers that they do not know.
func TestStoreWithoutChecksums(t *testing.T) {
	for name, refuse := range map[string]testbed.Action{
		"501":           testbed.Refuse(501, "NotImplemented"),
		"400 of a kind": testbed.Answer(400, nil, "<Error><Code>InvalidArgument</Code><Message>Unsupported header 'x-amz-checksum-crc32c' received for this API call.</Message></Error>"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, smallParts)
			for _, h := range []string{"X-Amz-Checksum-Crc32c", "X-Amz-Checksum-Algorithm"} {
				b.proxy.Add(testbed.Fault{When: testbed.Match{Header: h}, Do: refuse})
			}
			large := content(2*minPart + 1)
			for _, key := range []string{"a", "b"} {
				if _, err := b.store.Put(t.Context(), key, bytes.NewReader(large), int64(len(large)), PutOptions{OnUploadID: func(string) {}}); err != nil {
					t.Fatal(err)
				}
				b.bucket.Want(key, string(large))
				b.mustPut("small"+key, key)
				b.bucket.Want("small"+key, key)
			}
			b.proxy.Forget()
			b.mustPut("once", "x")
			if n := b.proxy.Count(""); n != 1 {
				t.Errorf("%d requests: it does not remember", n)
			}
			b.fault("PUT", 1, testbed.CorruptRequest(50_000))
			if _, err := b.store.Put(t.Context(), "c", bytes.NewReader(large), 100_000, PutOptions{}); err != nil || b.proxy.Count("PUT") != 3 {
				t.Errorf("%v, %d requests: Content-MD5 is not verified", err, b.proxy.Count("PUT"))
			}
			b.bucket.Want("c", string(large[:100_000]))
			if u := b.bucket.Uploads(); len(u) != 0 {
				t.Errorf("uploads left over: %v", u)
			}
			if got := b.probe().Verbs(); len(got) != 3 {
				t.Errorf("conditions: %q", got)
			}
		})
	}
}

func BenchmarkSums(b *testing.B) {
	body := bytes.NewReader(content(16 << 20))
	for _, signed := range []bool{false, true} {
		b.Run(fmt.Sprint("sha256 ", signed), func(b *testing.B) {
			b.SetBytes(body.Size())
			for b.Loop() {
				if _, err := sumsOf(body, 0, body.Size(), signed, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
