package s3server

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A file of zeros takes the room of its content, however it becomes an object.
func TestZerosTakeNoRoom(t *testing.T) {
	data := t.TempDir()
	info, _ := serve(t, Options{Data: data, Listen: []string{"127.0.0.1:0"}, Buckets: []string{"bucket"}})
	const size = 8 << 20
	content := make([]byte, size)
	copy(content, "the beginning")
	copy(content[3<<20+4000:], "across two blocks")
	copy(content[size-5:], "the end"[2:])
	must := func(method, path, body string, header ...string) string {
		t.Helper()
		code, answer := send(t, info, method, path, body, header...)
		if code != http.StatusOK {
			t.Fatalf("%s %s gives %d %s", method, path, code, answer)
		}
		return answer
	}
	expect := func(key string, want []byte) {
		t.Helper()
		if got := must("GET", "/bucket/"+key, ""); got != string(want) {
			t.Errorf("%s has %d bytes of %d, or others", key, len(got), len(want))
		}
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(data, "bucket", key), &st); err != nil {
			t.Fatal(err)
		}
		if room := st.Blocks * 512; room > 256<<10 {
			t.Errorf("%s takes %d bytes of the disk", key, room)
		}
	}
	must("PUT", "/bucket/put", string(content))
	expect("put", content)
	must("PUT", "/bucket/copy", "", "X-Amz-Copy-Source", "/bucket/put")
	expect("copy", content)

	upload := regexp.MustCompile("<UploadId>(.*)</UploadId>").FindStringSubmatch(must("POST", "/bucket/parts?uploads=", ""))[1]
	var parts strings.Builder
	for n := 1; n <= 3; n++ {
		path := fmt.Sprintf("/bucket/parts?partNumber=%d&uploadId=%s", n, upload)
		if n == 2 {
			must("PUT", path, "", "X-Amz-Copy-Source", "/bucket/put")
		} else {
			must("PUT", path, string(content))
		}
		fmt.Fprintf(&parts, "<Part><PartNumber>%d</PartNumber><ETag>%x</ETag></Part>", n, md5.Sum(content))
	}
	err := filepath.WalkDir(filepath.Join(data, "bucket", ".sgwtmp", "multipart"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil || st.Blocks*512 > 256<<10 {
			t.Errorf("a part takes %d bytes of the disk, %v", st.Blocks*512, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	must("POST", "/bucket/parts?uploadId="+upload, "<CompleteMultipartUpload>"+parts.String()+"</CompleteMultipartUpload>")
	expect("parts", bytes.Repeat(content, 3))
}
