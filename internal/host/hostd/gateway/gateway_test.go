package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/matrx/sandbox/contract"
)

// All that a storage process does, through the gateway, with the SDK's own signatures
// and checksums.
func TestAWorkspaceCanBeKept(t *testing.T) {
	d := openDoor(t, "keeper", Options{})
	ctx, b := t.Context(), aws.String(bucket)
	key := aws.String(d.prefix + "hot/file")

	put, err := d.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: key, Body: strings.NewReader("0123456789"),
		IfNoneMatch: aws.String("*"), Metadata: map[string]string{"file-mtime": "12ns"}, ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: key, Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "PreconditionFailed" {
		t.Errorf("a second If-None-Match gives %v", err)
	}
	head, err := d.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || head.Metadata["file-mtime"] != "12ns" || *head.ETag != *put.ETag || head.ChecksumSHA256 == nil {
		t.Errorf("HEAD gives %+v, %v", head, err)
	}
	got, err := d.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: key, Range: aws.String("bytes=2-4"), IfMatch: put.ETag})
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(got.Body); string(body) != "234" {
		t.Errorf("the range holds %q", body)
	}
	if _, err := d.s3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String(d.prefix + "hot/copy"),
		CopySource: aws.String(bucket + "/" + *key), CopySourceIfMatch: put.ETag, IfNoneMatch: aws.String("*")}); err != nil {
		t.Error(err)
	}
	if _, err := d.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: key, IfMatch: put.ETag}); err != nil {
		t.Error(err)
	}
	if _, err := d.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: b}); err != nil {
		t.Error(err)
	}
	list, err := d.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b, Prefix: &d.prefix, Delimiter: aws.String("/")})
	if err != nil || len(list.CommonPrefixes) != 1 || *list.CommonPrefixes[0].Prefix != d.prefix+"hot/" {
		t.Errorf("the list is %+v, %v", list, err)
	}
}

func TestLargeFilesGoUpInParts(t *testing.T) {
	d := openDoor(t, "parts", Options{})
	ctx, b, key := t.Context(), aws.String(bucket), aws.String(d.prefix+"hot/big")
	content := make([]byte, 11<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(content)

	up, err := d.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	n := int32(0)
	for chunk := range slices.Chunk(content, 5<<20) {
		n++
		p, err := d.s3.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(n), Body: bytes.NewReader(chunk), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: p.ETag, PartNumber: aws.Int32(n), ChecksumCRC32: p.ChecksumCRC32})
	}
	listed, err := d.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: key, UploadId: up.UploadId})
	if err != nil || len(listed.Parts) != len(parts) {
		t.Fatalf("ListParts gives %+v, %v", listed, err)
	}
	uploads, err := d.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: b, Prefix: &d.prefix})
	if err != nil || len(uploads.Uploads) != 1 {
		t.Fatalf("ListMultipartUploads gives %+v, %v", uploads, err)
	}
	if _, err := d.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: up.UploadId,
		IfNoneMatch: aws.String("*"), MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}); err != nil {
		t.Fatal(err)
	}
	out, err := d.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if got, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}

	// Part of a new one from the old one, as a copy.
	again, err := d.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.s3.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: b, Key: key, UploadId: again.UploadId, PartNumber: aws.Int32(1),
		CopySource: aws.String(bucket + "/" + *key), CopySourceRange: aws.String("bytes=0-5242879")}); err != nil {
		t.Error(err)
	}
	if _, err := d.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b, Key: key, UploadId: again.UploadId}); err != nil {
		t.Error(err)
	}
}

// What the client signed with never leaves the host, and what the host signs with
// never reaches the client.
func TestTheClientsSignatureIsReplaced(t *testing.T) {
	f := newFake(t, nil)
	d := openDoor(t, "signer", Options{Upstream: f.upstream()})
	if _, err := d.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(d.prefix + "k"), Body: strings.NewReader("v")}); err != nil {
		t.Fatal(err)
	}
	r := <-f.got
	auth := r.Header.Get("Authorization")
	if !strings.Contains(auth, "Credential="+embedded.AccessKey+"/") || strings.Contains(auth, "anything") {
		t.Errorf("the store is shown %q", auth)
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "Amz-Sdk") || strings.HasPrefix(name, "X-Forwarded") || name == "X-Amz-Security-Token" {
			t.Errorf("the store is shown the client's %s", name)
		}
	}
}

// A corrupt body must not get a new signature that says it is whole.
func TestTheClientsHashStands(t *testing.T) {
	d := openDoor(t, "hash", Options{})
	target := "/" + bucket + "/" + d.prefix + "k"
	code, body := d.raw(t, "PUT", target, "corrupt", hashHeader, emptyPayload)
	if code != http.StatusBadRequest || !strings.Contains(body, "XAmzContentSHA256Mismatch") {
		t.Errorf("a body of another hash: %d %s", code, body)
	}
	if code, _ := d.raw(t, "HEAD", target, ""); code != http.StatusNotFound {
		t.Errorf("it was stored: HEAD gives %d", code)
	}
}

func TestABodySignedInChunksIsNotImplemented(t *testing.T) {
	d := openDoor(t, "chunks", Options{})
	code, body := d.raw(t, "PUT", "/"+bucket+"/"+d.prefix+"k", "x", hashHeader, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
	if code != http.StatusNotImplemented || !strings.Contains(body, "NotImplemented") {
		t.Errorf("%d %s", code, body)
	}
}

// A client tries again what is 503, and nothing else.
func TestAStoreThatIsAwayIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := upstream()
	u.Endpoint = "http://" + l.Addr().String()
	l.Close() // nothing listens there now
	d := openDoor(t, "away", Options{Upstream: u})
	if code, body := d.raw(t, "GET", "/"+bucket+"/"+d.prefix+"k", ""); code != http.StatusServiceUnavailable || !strings.Contains(body, "ServiceUnavailable") {
		t.Errorf("%d %s", code, body)
	}
}

func TestNoCredentialsIsDenied(t *testing.T) {
	u := upstream()
	u.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("the session has expired")
	})
	d := openDoor(t, "expired", Options{Upstream: u})
	if code, body := d.raw(t, "GET", "/"+bucket+"/"+d.prefix+"k", ""); code != http.StatusForbidden || !strings.Contains(body, "InvalidAccessKeyId") || strings.Contains(body, "the session has expired") {
		t.Errorf("%d %s", code, body)
	}
}

// The lease is learnt from what the store has accepted, and from nothing else.
func TestTheLeasesHolderIsLearnt(t *testing.T) {
	var seen []contract.LeaseHolder
	d := openDoor(t, "lease", Options{Lease: func(h contract.LeaseHolder) { seen = append(seen, h) }})
	target := "/" + bucket + "/" + d.prefix + contract.LeaseName
	record := `{"sandbox_id":"s1","instance":"i1","nonce":"n"}`
	if code, body := d.raw(t, "PUT", target, record, "If-None-Match", "*"); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	d.raw(t, "PUT", target, `{"sandbox_id":"s2","instance":"i2"}`, "If-None-Match", "*") // 412
	d.raw(t, "PUT", target+"-not", `{"instance":"i3"}`)
	d.raw(t, "PUT", target, "no JSON")
	d.raw(t, "GET", target, "")
	want := []contract.LeaseHolder{{SandboxID: "s1", Instance: "i1"}}
	if !slices.Equal(seen, want) {
		t.Errorf("learnt %+v, want %+v", seen, want)
	}
}

// One sandbox cannot take the store from the others.
func TestRequestsAtOnceAreBounded(t *testing.T) {
	release := make(chan struct{})
	f := newFake(t, func(http.ResponseWriter, *http.Request) { <-release })
	d := openDoor(t, "busy", Options{Upstream: f.upstream()})
	for range maxInFlight {
		d.places <- struct{}{}
	}
	if code, body := d.raw(t, "GET", "/"+bucket+"/"+d.prefix+"k", ""); code != http.StatusServiceUnavailable || !strings.Contains(body, "SlowDown") {
		t.Errorf("%d %s", code, body)
	}
	<-d.places
	close(release)
	if code, _ := d.raw(t, "GET", "/"+bucket+"/"+d.prefix+"k", ""); code != http.StatusOK {
		t.Errorf("with a place free: %d", code)
	}
}

func TestUpstreamAddresses(t *testing.T) {
	for _, tc := range []struct {
		u    Upstream
		want string
	}{
		{Upstream{Bucket: "b-1", Region: "eu-west-1"}, "https://b-1.s3.eu-west-1.amazonaws.com/users/u/a%20b?list-type=2"},
		{Upstream{Bucket: "b.1", Region: "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/b.1/users/u/a%20b?list-type=2"},
		{Upstream{Bucket: "b-1", Region: "eu-west-1", PathStyle: true}, "https://s3.eu-west-1.amazonaws.com/b-1/users/u/a%20b?list-type=2"},
		{Upstream{Bucket: "b-1", Region: "r", Endpoint: "http://10.0.0.1:9000"}, "http://10.0.0.1:9000/b-1/users/u/a%20b?list-type=2"},
		{Upstream{Bucket: "b-1", Region: "r", Endpoint: "https://s3.example.com"}, "https://b-1.s3.example.com/users/u/a%20b?list-type=2"},
		{Upstream{Bucket: "b-1", Region: "r", Endpoint: "https://s3.example.com/at", PathStyle: true}, "https://s3.example.com/at/b-1/users/u/a%20b?list-type=2"},
	} {
		s, err := tc.u.open(t.Context())
		if err != nil {
			t.Errorf("%+v: %v", tc.u, err)
			continue
		}
		if got := s.url("users/u/a b", map[string][]string{"list-type": {"2"}}).String(); got != tc.want {
			t.Errorf("%+v gives %s, want %s", tc.u, got, tc.want)
		}
	}
}

// Each request of a client that the gateway admits is within the scope, in both forms.
func FuzzAdmit(f *testing.F) {
	f.Add("GET", "/"+bucket+"/users/u/hot/a", "", "")
	f.Add("PUT", "/"+bucket+"/users/u/%2e%2e/a", "partNumber=1&uploadId=x", "/"+bucket+"/users/u/b")
	f.Add("GET", "/"+bucket, "list-type=2&prefix=users/u/&prefix=users/", "")
	scope := Scope{Bucket: bucket, Prefix: "users/u/"}
	f.Fuzz(func(t *testing.T, method, path, query, source string) {
		r, err := http.NewRequest(method, "http://s3/", nil)
		if err != nil {
			return
		}
		if r.URL, err = r.URL.Parse(path); err != nil {
			return
		}
		r.URL.RawQuery = query
		if source != "" {
			r.Header.Set("X-Amz-Copy-Source", source)
		}
		q, refused := scope.admit(r)
		if refused != nil {
			return
		}
		for _, key := range []string{q.key, q.source} {
			if key != "" && (!strings.HasPrefix(key, scope.Prefix) || strings.Contains("/"+key+"/", "/../")) {
				t.Errorf("admitted the key %q", key)
			}
		}
		if q.object != (q.key != "") || q.lists && !strings.HasPrefix(q.params.Get("prefix"), scope.Prefix) {
			t.Errorf("admitted %+v", q)
		}
	})
}

// What the store says to the holder of the credentials stays on the host; what a client
// decides by arrives.
func TestErrorsOfTheStoreKeepItsSecrets(t *testing.T) {
	const theirs = "AKIATHEIRKEY arn:aws:iam::123456789012:user/operator https://internal.example"
	answer := `<Error><Code>AccessDenied</Code><Message>` + theirs + `</Message><AWSAccessKeyId>AKIATHEIRKEY</AWSAccessKeyId><StringToSign>` + theirs +
		`</StringToSign><Region>eu-north-1</Region><HostId>` + theirs + `</HostId></Error>`
	var status int
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Id-2", theirs)
		w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
		w.WriteHeader(status)
		io.WriteString(w, answer)
	})
	d := openDoor(t, "secretive", Options{Upstream: f.upstream()})
	at := "/" + bucket + "/" + d.prefix
	for _, tc := range []struct {
		status         int
		method, target string
		header         []string
	}{
		{403, "GET", at + "k", nil},
		{301, "GET", "/" + bucket + "?list-type=2&prefix=" + d.prefix, nil},
		{500, "PUT", at + "k", nil},
		{200, "POST", at + "k?uploadId=1", nil},
		{200, "PUT", at + "k", []string{"x-amz-copy-source", at + "from"}},
	} {
		status = tc.status
		code, body := d.raw(t, tc.method, tc.target, "", tc.header...)
		if code != tc.status || !strings.Contains(body, "<Code>AccessDenied</Code>") || !strings.Contains(body, "<Region>eu-north-1</Region>") {
			t.Errorf("%s %s: %d %s", tc.method, tc.target, code, body)
		}
		for _, s := range strings.Fields(theirs) {
			if strings.Contains(body, s) {
				t.Errorf("%s %s tells %q: %s", tc.method, tc.target, s, body)
			}
		}
	}
	status = 403
	res, err := http.Get(d.url + at + "k")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.Header.Get("X-Amz-Id-2") != "" || res.Header.Get("X-Amz-Bucket-Region") == "" {
		t.Errorf("the headers are %v", res.Header)
	}
	answer = "<Error><Code>InvalidRequest</Code><Message>The upload was created using a CRC32 checksum.</Message></Error>"
	if code, body := d.raw(t, "PUT", at+"k", "x"); code != 403 || !strings.Contains(body, "checksum") {
		t.Errorf("a refused checksum: %d %s", code, body)
	}
	status, answer = 200, "<CompleteMultipartUploadResult>"+strings.Repeat("x", 2*maxError)+"</CompleteMultipartUploadResult>"
	if code, body := d.raw(t, "POST", at+"k?uploadId=1", ""); code != 200 || body != answer {
		t.Errorf("an answer that is no error: %d, %d bytes of %d", code, len(body), len(answer))
	}
}

// A probe asks for refusals; the log has them no more than the 404 of a key. What a probe does not ask for, it has.
func TestRefusedProbeIsNoWarning(t *testing.T) {
	var status int
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, "<Error><Code>BadDigest</Code></Error>")
	})
	for _, tc := range []struct {
		key    string
		status int
		warns  bool
	}{
		{contract.ProbePrefix + "X-checksum", 400, false},
		{contract.ProbePrefix + "X-put", 501, false},
		{contract.ProbePrefix + "X-put", 403, true},
		{contract.ProbePrefix + "X-put", 500, true},
		{"hot/.sandbox/probe-X", 400, true},
		{"hot/file", 400, true},
	} {
		var log bytes.Buffer
		d := openDoor(t, "prober", Options{Upstream: f.upstream(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		status = tc.status
		if code, _ := d.raw(t, "PUT", "/"+bucket+"/"+d.prefix+tc.key, "x"); code != tc.status {
			t.Errorf("%s: %d", tc.key, code)
		}
		if warns := strings.Contains(log.String(), "gateway_upstream_refused"); warns != tc.warns {
			t.Errorf("%d to %s: the log has %q", tc.status, tc.key, log.String())
		}
	}
}

// A body that the store would take into its memory is bounded; what takes room is asked about before the store hears of it.
func TestRequestsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		method, params string
		size           int
		full           bool
		code           int
		reason         string
	}{
		"an upload's parts":           {"POST", "?uploadId=1", maxRequest, true, 200, ""},
		"too many of them":            {"POST", "?uploadId=1", maxRequest + 1, false, 400, "MaxMessageLengthExceeded"},
		"a deletion with a body":      {"DELETE", "", maxRequest + 1, false, 400, "MaxMessageLengthExceeded"},
		"a read with a body":          {"GET", "", maxRequest + 1, false, 400, "MaxMessageLengthExceeded"},
		"an object":                   {"PUT", "", maxRequest + 1, false, 200, ""},
		"a part":                      {"PUT", "?partNumber=1&uploadId=1", maxRequest + 1, false, 200, ""},
		"an upload":                   {"POST", "?uploads", 0, false, 200, ""},
		"an object, without room":     {"PUT", "", 1, true, 400, "EntityTooLarge"},
		"a part, without room":        {"PUT", "?partNumber=1&uploadId=1", 1, true, 400, "EntityTooLarge"},
		"an upload, without room":     {"POST", "?uploads", 0, true, 400, "EntityTooLarge"},
		"a deletion, without room":    {"DELETE", "", 0, true, 200, ""},
		"an upload's end, of nothing": {"DELETE", "?uploadId=1", 0, true, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			ended := make(chan struct{})
			d := openDoor(t, "bounded", Options{Upstream: f.upstream(), Room: func(int64, string) (func(), error) {
				if tc.full {
					return nil, errors.New("it is full")
				}
				return func() { close(ended) }, nil
			}})
			target, length := "/"+bucket+"/"+d.prefix+"hot/a"+tc.params, []string(nil)
			body := strings.Repeat("x", tc.size)
			if tc.reason == "MaxMessageLengthExceeded" { // of what is announced: the rest would be cut off with the answer
				body, length = "", []string{"Content-Length", strconv.Itoa(tc.size)}
			}
			code, answer := d.raw(t, tc.method, target, body, length...)
			if code != tc.code || !strings.Contains(answer, tc.reason) {
				t.Errorf("it is answered with %d %s", code, answer)
			}
			if asked := len(f.got); asked != 0 != (tc.code == http.StatusOK) {
				t.Errorf("the store was asked %d times", asked)
			}
			if takes := tc.method == "PUT" || tc.params == "?uploads"; takes && !tc.full {
				<-ended
			}
		})
	}
}
