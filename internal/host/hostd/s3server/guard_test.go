package s3server

import (
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A request that would lead the backend out of the directory of a key is refused before the
// backend sees it, without a gateway in front and for each client.
func TestGuardRefusesPaths(t *testing.T) {
	dir := t.TempDir()
	info, _ := serve(t, Options{Data: filepath.Join(dir, "data"), Listen: []string{"127.0.0.1:0"}, Buckets: []string{"bucket"}})
	host := filepath.Join(dir, "host", "1")
	if err := os.MkdirAll(filepath.Dir(host), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte("the host's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a%3FversionId%3D", "users/other/hot/1"} {
		if code, body := send(t, info, "PUT", "/bucket/"+key, "content of "+key); code != http.StatusOK {
			t.Fatalf("PUT of %s gives %d %s", key, code, body)
		}
	}
	const form = "multipart/form-data; boundary=x"
	for _, tc := range []struct {
		method, target, body string
		header               []string
		code                 int
	}{
		{"GET", "/bucket/k?uploadId=../../../users/other/hot", "", nil, http.StatusNotFound},
		{"GET", "/bucket/k?uploadId=..%2f..%2f..%2fusers%2fother%2fhot", "", nil, http.StatusNotFound},
		{"GET", "/bucket/k?uploadId=../../../../../host", "", nil, http.StatusNotFound},
		{"PUT", "/bucket/k?uploadId=../../../../../host&partNumber=1", "x", nil, http.StatusNotFound},
		{"PUT", "/bucket/k?uploadId=../../../../../host&partNumber=1", "", []string{"X-Amz-Copy-Source", "/bucket/a"}, http.StatusNotFound},
		{"POST", "/bucket/k?uploadId=../../../../../host", "<CompleteMultipartUpload/>", nil, http.StatusNotFound},
		{"DELETE", "/bucket/k?uploadId=../../../../../host", "", nil, http.StatusNotFound},
		{"DELETE", "/bucket/k?uploadId=", "", nil, http.StatusNotFound},
		{"DELETE", "/bucket/k?uploadId=..", "", nil, http.StatusNotFound},
		{"GET", "/bucket?uploads&upload-id-marker=../..", "", nil, http.StatusBadRequest},
		{"GET", "/bucket/a?versionId=../../host/1", "", nil, http.StatusBadRequest},
		{"GET", "/bucket?versions&version-id-marker=../..", "", nil, http.StatusBadRequest},
		{"GET", "/bucket?list-type=2&prefix=x/../users/", "", nil, http.StatusBadRequest},
		{"GET", "/bucket/a?partNumber=../1", "", nil, http.StatusBadRequest},
		{"GET", "/bucket/a?of-tomorrow=1", "", nil, http.StatusBadRequest},
		{"PUT", "/bucket/x/../y", "x", nil, http.StatusBadRequest},
		{"PUT", "/bucket/x/%2e%2e/y", "x", nil, http.StatusBadRequest},
		{"PUT", "/bucket/x%2f..%2fy", "x", nil, http.StatusBadRequest},
		{"PUT", "/bucket/.sgwtmp/multipart/x", "x", nil, http.StatusBadRequest},
		{"PUT", "/bucket/users/u/hot/.sgwtmp/x", "x", nil, http.StatusBadRequest},
		{"PUT", "/bucket/k", "", []string{"X-Amz-Copy-Source", "/bucket/x/../a"}, http.StatusBadRequest},
		{"PUT", "/bucket/k", "", []string{"X-Amz-Copy-Source", "/bucket/x%2F..%2Fa"}, http.StatusBadRequest},
		{"PUT", "/bucket/k", "", []string{"X-Amz-Copy-Source", "/bucket/a?versionId=../../../host/1"}, http.StatusBadRequest},
		{"PUT", "/bucket/k", "", []string{"X-Amz-Copy-Source", "/bucket/a%3FversionId="}, http.StatusBadRequest}, // the backend would copy "a"
		{"POST", "/bucket", "--x\r\nContent-Disposition: form-data; name=key\r\n\r\n../y\r\n--x--\r\n", []string{"Content-Type", form}, http.StatusNotImplemented},
		{"PATCH", "/list-users", "", nil, http.StatusMethodNotAllowed},
	} {
		if code, body := send(t, info, tc.method, tc.target, tc.body, tc.header...); code != tc.code || strings.Contains(body, "host's") {
			t.Errorf("%s %s %q gives %d %s, want %d", tc.method, tc.target, tc.header, code, body, tc.code)
		}
	}

	deletion := `<Delete><Object><Key>x/../users/other/hot/1</Key></Object><Object><Key>a</Key></Object></Delete>`
	code, body := send(t, info, "POST", "/bucket?delete", deletion, "Content-MD5", md5Of(deletion))
	if code != http.StatusOK || strings.Count(body, "<Error>") != 1 || strings.Count(body, "<Deleted>") != 1 {
		t.Errorf("DeleteObjects gives %d %s", code, body)
	}
	if b, err := os.ReadFile(host); err != nil || string(b) != "the host's" {
		t.Errorf("the host's file holds %q, %v", b, err)
	}
	if code, _ := send(t, info, "GET", "/bucket/users/other/hot/1", ""); code != http.StatusOK {
		t.Errorf("the other user's object: %d", code)
	}
	for _, tc := range []struct {
		target string
		code   int
	}{{"/bucket/a", http.StatusNotFound}, {"/bucket/k", http.StatusNotFound}, {"/bucket/y", http.StatusNotFound}} {
		if code, body := send(t, info, "GET", tc.target, ""); code != tc.code {
			t.Errorf("GET %s gives %d %s", tc.target, code, body)
		}
	}
}

func md5Of(body string) string {
	sum := md5.Sum([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}
