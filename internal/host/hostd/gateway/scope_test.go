package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

func readAnswer(t *testing.T, conn net.Conn, method string) (int, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// A multipart upload of alice's, under way.
func beginUpload(t *testing.T, d *door, key string) string {
	t.Helper()
	up, err := d.s3.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	return *up.UploadId
}

// Mallory has a gateway of his own and tries all that HTTP allows at alice's objects.
func TestNothingOfAnothersIsReached(t *testing.T) {
	alice, mallory := openDoor(t, "alice", Options{}), openDoor(t, "mallory", Options{})
	put(t, alice.s3, "users/alice/hot/secret", "alice's secret")
	put(t, mallory.s3, "users/mallory/hot/mine", "mallory's own")
	// Another user whose name begins with mallory's.
	mallory2 := openDoor(t, "mallory2", Options{})
	put(t, mallory2.s3, "users/mallory2/hot/secret", "mallory2's secret")
	upload := beginUpload(t, alice, "users/alice/hot/big")

	const mine = "/" + bucket + "/users/mallory/hot/mine"
	const hers = "/" + bucket + "/users/alice/hot/secret"
	for _, tc := range []struct {
		method, target string
		header         []string
	}{
		// Keys.
		{"GET", hers, nil},
		{"HEAD", hers, nil},
		{"PUT", hers, nil},
		{"DELETE", hers, nil},
		{"GET", "/" + bucket + "/users/mallory2/hot/secret", nil},
		{"GET", "/" + bucket + "/users/mallory", nil},
		{"PUT", "/" + bucket + "/top", nil},
		{"GET", "/other-bucket/users/mallory/hot/mine", nil},
		{"GET", "//" + bucket + "/users/mallory/hot/mine", nil},
		{"GET", "http://elsewhere" + hers, nil},
		{"GET", "/" + bucket + "//users/alice/hot/secret", nil},
		// Ways out of the prefix.
		{"GET", "/" + bucket + "/users/mallory/../alice/hot/secret", nil},
		{"GET", "/" + bucket + "/users/mallory/%2e%2e/alice/hot/secret", nil},
		{"GET", "/" + bucket + "/users/mallory/hot/..%2f..%2f..%2falice/hot/secret", nil},
		{"GET", "/" + bucket + "/users/mallory/./hot/mine", nil},
		{"GET", "/" + bucket + "/users%2fmallory/../alice/hot/secret", nil},
		{"PUT", "/" + bucket + "/users/mallory/a%00b", nil},
		// Lists.
		{"GET", "/", nil},
		{"GET", "/" + bucket, nil},
		{"GET", "/" + bucket + "?list-type=2", nil},
		{"GET", "/" + bucket + "?list-type=2&prefix=", nil},
		{"GET", "/" + bucket + "?list-type=2&prefix=users/", nil},
		{"GET", "/" + bucket + "?list-type=2&prefix=users/mallory", nil},
		{"GET", "/" + bucket + "?list-type=2&prefix=users/alice/", nil},
		{"GET", "/" + bucket + "?prefix=users/alice/", nil},
		{"GET", "/" + bucket + "?uploads&prefix=users/alice/", nil},
		{"GET", "/" + bucket + "?uploads", nil},
		{"GET", "/" + bucket + "?versions&prefix=users/mallory/", nil},
		// Copies.
		{"PUT", mine, []string{"x-amz-copy-source", hers}},
		{"PUT", mine, []string{"x-amz-copy-source", hers[1:]}},
		{"PUT", mine, []string{"x-amz-copy-source", "%2f" + bucket + "%2fusers%2falice%2fhot%2fsecret"}},
		{"PUT", mine, []string{"x-amz-copy-source", "/" + bucket + "/users/mallory/../alice/hot/secret"}},
		{"PUT", mine, []string{"x-amz-copy-source", "/other-bucket/users/mallory/x"}},
		{"PUT", mine, []string{"x-amz-copy-source", mine + "?versionId=1"}},
		{"PUT", mine, []string{"x-amz-copy-source", mine, "x-amz-copy-source", hers}},
		{"PUT", mine, []string{"x-amz-copy-source", "arn:aws:s3:::" + bucket + "/users/alice/hot/secret"}},
		{"PUT", mine + "?uploadId=1&partNumber=1", []string{"x-amz-copy-source", hers}},
		{"GET", mine, []string{"x-amz-copy-source", hers}},
		// Multipart uploads.
		{"POST", hers + "?uploads", nil},
		{"PUT", "/" + bucket + "/users/alice/hot/big?partNumber=1&uploadId=" + upload, nil},
		{"POST", "/" + bucket + "/users/alice/hot/big?uploadId=" + upload, nil},
		{"DELETE", "/" + bucket + "/users/alice/hot/big?uploadId=" + upload, nil},
		{"GET", "/" + bucket + "/users/alice/hot/big?uploadId=" + upload, nil},
		// Everything else.
		{"PUT", "/" + bucket, nil},
		{"DELETE", "/" + bucket, nil},
		{"POST", "/" + bucket, nil},
		{"POST", "/" + bucket + "?delete", nil},
		{"GET", "/" + bucket + "?policy", nil},
		{"PUT", "/" + bucket + "?policy", nil},
		{"GET", "/" + bucket + "?location", nil},
		{"PUT", mine + "?acl", nil},
		{"GET", mine + "?acl", nil},
		{"PUT", mine + "?tagging", nil},
		{"POST", mine + "?select&select-type=2", nil},
		{"GET", mine + "?versionId=1", nil},
		{"GET", mine + "?response-content-type=text/html", nil},
		{"PUT", mine, []string{"x-amz-acl", "public-read"}},
		{"PUT", mine, []string{"x-amz-grant-read", "uri=all"}},
		{"PUT", mine, []string{"x-amz-website-redirect-location", "/x"}},
		{"PUT", mine, []string{"x-amz-tagging", "a=b"}},
		{"PUT", mine, []string{"x-amz-object-lock-mode", "COMPLIANCE"}},
		{"PUT", mine, []string{"x-amz-of-tomorrow", "1"}},
		{"PATCH", mine, nil},
		{"OPTIONS", mine, nil},
		{"TRACE", mine, nil},
		{"CONNECT", "s3:80", nil},
		{"PATCH", "/list-users", nil},
	} {
		t.Run(tc.method+" "+tc.target+" "+strings.Join(tc.header, " "), func(t *testing.T) {
			served, refused := mallory.Counts()
			code, body := mallory.raw(t, tc.method, tc.target, "", tc.header...)
			if code != http.StatusForbidden || tc.method != "HEAD" && !strings.Contains(body, "<Code>AccessDenied</Code>") {
				t.Errorf("answers %d %s", code, body)
			}
			if s, r := mallory.Counts(); s != served || r != refused+1 {
				t.Errorf("served %d and refused %d more", s-served, r-refused)
			}
		})
	}

	// An upload ID of hers with a key of his.
	if code, body := mallory.raw(t, "GET", "/"+bucket+"/users/mallory/hot/big?uploadId="+upload, ""); code != http.StatusNotFound {
		t.Errorf("her upload under his key: %d %s", code, body)
	}
	if code, body := mallory.raw(t, "PUT", "/"+bucket+"/users/mallory/hot/big?partNumber=1&uploadId="+upload, "x"); code != http.StatusNotFound {
		t.Errorf("a part of her upload under his key: %d %s", code, body)
	}
	expect(t, "users/alice/hot/secret", "alice's secret")
	expect(t, "users/mallory2/hot/secret", "mallory2's secret")
	expect(t, "users/mallory/hot/mine", "mallory's own")
	if _, err := alice.s3.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("users/alice/hot/big"), UploadId: &upload}); err != nil {
		t.Errorf("her upload is gone: %v", err)
	}
}

// expect reads an object past the gateways.
func expect(t *testing.T, key, want string) {
	t.Helper()
	out, err := direct().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatalf("%q: %v", key, err)
	}
	defer out.Body.Close()
	if b, err := io.ReadAll(out.Body); err != nil || string(b) != want {
		t.Errorf("%q holds %q, %v; want %q", key, b, err, want)
	}
}

// A list's page may begin anywhere: the prefix still holds.
func TestListsStayWithinThePrefix(t *testing.T) {
	openers := map[string]*door{"lister": nil, "lister-2": nil, "listed": nil}
	for user := range openers {
		openers[user] = openDoor(t, user, Options{})
		for n := range 5 {
			put(t, openers[user].s3, fmt.Sprintf("users/%s/hot/%d", user, n), "x")
		}
	}
	d := openers["lister"]
	for _, start := range []string{"", "users/", "users/listed/hot/3", "users/lister/hot/2", "users/zz"} {
		pages := s3.NewListObjectsV2Paginator(d.s3, &s3.ListObjectsV2Input{
			Bucket: aws.String(bucket), Prefix: &d.prefix, StartAfter: &start, MaxKeys: aws.Int32(2),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Contents {
				if !strings.HasPrefix(*o.Key, d.prefix) {
					t.Errorf("a list from %q has %q", start, *o.Key)
				}
			}
		}
	}
}

// A key is checked in the form in which the store sees it.
func TestKeysReachTheStoreAsTheyAre(t *testing.T) {
	d := openDoor(t, "keys", Options{})
	for _, name := range []string{
		"plain", "a b", "a+b", "a%20b", "%2e%2e", "ü/日本", "a&b=c?d#e", "~!*'();:@,$[]", `back\slash`, "trailing.", "..a/b..", "tab\tnew\nline", "a//b",
		"bytes\xff\xfe",
	} {
		key := d.prefix + "hot/" + name
		if code, body := d.raw(t, "PUT", "/"+bucket+"/"+escape(key), name); code != http.StatusOK {
			t.Errorf("PUT of %q: %d %s", name, code, body)
			continue
		}
		if name == "a//b" { // a path to this store, and the same as a/b
			continue
		}
		if code, body := d.raw(t, "GET", "/"+bucket+"/"+escape(key), ""); code != http.StatusOK || body != name {
			t.Errorf("GET of %q: %d %q", name, code, body)
		}
		copied := d.prefix + "copy/" + name
		if code, body := d.raw(t, "PUT", "/"+bucket+"/"+escape(copied), "", "x-amz-copy-source", "/"+bucket+"/"+escape(key)); code != http.StatusOK {
			t.Errorf("copy of %q: %d %s", name, code, body)
		}
		if code, body := d.raw(t, "GET", "/"+bucket+"/"+escape(copied), ""); code != http.StatusOK || body != name {
			t.Errorf("GET of the copy of %q: %d %q", name, code, body)
		}
	}
}

func TestSDKErrorsAreS3s(t *testing.T) {
	d := openDoor(t, "errors", Options{})
	_, err := d.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("users/alice/x")})
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "AccessDenied" {
		t.Errorf("another's key gives %v", err)
	}
	_, err = d.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(d.prefix + "none")})
	if _, ok := errors.AsType[*types.NoSuchKey](err); !ok {
		t.Errorf("a key that is not there gives %v", err)
	}
}
