package objectstore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/matrx/sandbox/internal/testbed"
	"github.com/matrx/sandbox/internal/wire"
)

// Credentials that end in the midst of an upload in parts: with new ones at hand it goes on where it was, else the
// next Put does; no part is sent twice, and nothing is left.
func TestUploadInPartsOutlivesItsCredentials(t *testing.T) {
	const parts, sent = 6, 2
	body := content(parts * minPart)
	for name, late := range map[string]bool{"new ones are there": false, "new ones come later": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			file := filepath.Join(t.TempDir(), "credentials")
			write := func(token string) {
				testbed.WriteCredentials(t, file, b.bucket.Server.AccessKey, b.bucket.Server.SecretKey, token)
			}
			b.fault("", 0, testbed.StripHeaders("X-Amz-Security-Token")) // the embedded server knows no tokens
			write("old")
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := b.proxy.Config(b.bucket)
			c.CredentialsFile = file
			s := open(t, c, wire.Credentials{File: old}, smallParts, func(o *Options) { o.Parts = 1 })
			expired := b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PART"}, After: sent, Times: 1, Do: testbed.Refuse(400, "ExpiredToken")})
			id := ""
			put := func() error {
				_, err := s.Put(t.Context(), "k", bytes.NewReader(body), int64(len(body)), PutOptions{UploadID: id, OnUploadID: func(u string) {
					id = u
					if !late { // the old ones are in use by now
						write("new")
					}
				}})
				return err
			}
			err = put()
			if late {
				wantKind(t, err, ErrExpiredCredentials, file)
				write("new")
				err = put()
			}
			if err != nil {
				t.Fatal(err)
			}
			b.bucket.Want("k", string(body))
			if n := b.proxy.Count("PART"); expired.Hits() != 1 || n != parts+1 || b.proxy.Count("CREATE") != 1 {
				t.Errorf("%d uploads, %d parts sent, %d refused", b.proxy.Count("CREATE"), n, expired.Hits())
			}
			if u := b.bucket.Uploads(); len(u) != 0 {
				t.Errorf("left: %v", u)
			}
		})
	}
}
