package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/matrx/sandbox/internal/config"
	"github.com/matrx/sandbox/internal/wire"
)

// Bucket is a bucket as the AWS SDK sees it. Its methods end the test when S3 refuses.
type Bucket struct {
	Name   string
	Server *Server
	SDK    *s3.Client

	t testing.TB
}

// Stored is an object as it lies there.
type Stored struct {
	Key          string
	Body         []byte
	ETag         string // without quotes
	Metadata     map[string]string
	LastModified time.Time
}

// Bucket makes a bucket that no other test uses.
func (s *Server) Bucket(t testing.TB) *Bucket {
	t.Helper()
	s.mu.Lock()
	s.buckets++
	name := fmt.Sprintf("bucket-%d", s.buckets)
	s.mu.Unlock()
	b := &Bucket{Name: name, Server: s, SDK: s.Client(), t: t}
	if _, err := b.SDK.CreateBucket(b.ctx(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("cannot make the bucket: %v", err)
	}
	return b
}

// Client is the AWS SDK's client of the server.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		Region: s.Region, BaseEndpoint: aws.String(s.Endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})
}

// Config reaches the bucket directly; with its Endpoint set to a FaultProxy's, through that.
func (b *Bucket) Config() config.S3 {
	return config.S3{Bucket: b.Name, Region: b.Server.Region, Endpoint: b.Server.Endpoint, Prefix: "users/", ForcePathStyle: true}
}

// Credentials are the server's.
func (b *Bucket) Credentials() wire.Credentials { return b.Server.Credentials() }

// Put stores an object.
func (b *Bucket) Put(key, body string, meta map[string]string) (etag string) {
	b.t.Helper()
	out, err := b.SDK.PutObject(b.ctx(), &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: strings.NewReader(body), Metadata: meta})
	if err != nil {
		b.t.Fatalf("cannot put %q: %v", key, err)
	}
	return strings.Trim(aws.ToString(out.ETag), `"`)
}

// Get is an object, and whether there is one.
func (b *Bucket) Get(key string) (Stored, bool) {
	b.t.Helper()
	out, err := b.SDK.GetObject(b.ctx(), &s3.GetObjectInput{Bucket: &b.Name, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if isNotFound(err) {
		return Stored{}, false
	}
	if err != nil {
		b.t.Fatalf("cannot get %q: %v", key, err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		b.t.Fatalf("cannot get %q: %v", key, err)
	}
	return Stored{Key: key, Body: body, ETag: strings.Trim(aws.ToString(out.ETag), `"`), Metadata: out.Metadata, LastModified: aws.ToTime(out.LastModified)}, true
}

// Delete removes an object.
func (b *Bucket) Delete(key string) {
	b.t.Helper()
	if _, err := b.SDK.DeleteObject(b.ctx(), &s3.DeleteObjectInput{Bucket: &b.Name, Key: &key}); err != nil {
		b.t.Fatalf("cannot delete %q: %v", key, err)
	}
}

// Keys are the keys that begin with prefix, sorted.
func (b *Bucket) Keys(prefix string) []string {
	b.t.Helper()
	return slices.Sorted(maps.Keys(b.ETags(prefix)))
}

// ETags are the keys that begin with prefix and their ETags.
func (b *Bucket) ETags(prefix string) map[string]string {
	b.t.Helper()
	out := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(b.SDK, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.ctx())
		if err != nil {
			b.t.Fatalf("cannot list %q: %v", prefix, err)
		}
		for _, o := range page.Contents {
			out[aws.ToString(o.Key)] = strings.Trim(aws.ToString(o.ETag), `"`)
		}
	}
	return out
}

// Objects are all objects whose keys begin with prefix, by key.
func (b *Bucket) Objects(prefix string) map[string]Stored {
	b.t.Helper()
	out := map[string]Stored{}
	for _, k := range b.Keys(prefix) {
		o, ok := b.Get(k)
		if !ok {
			b.t.Fatalf("%q is listed and not there", k)
		}
		out[k] = o
	}
	return out
}

// Uploads are the multipart uploads under way, by id.
func (b *Bucket) Uploads() map[string]string {
	b.t.Helper()
	out, err := b.SDK.ListMultipartUploads(b.ctx(), &s3.ListMultipartUploadsInput{Bucket: &b.Name})
	if err != nil {
		b.t.Fatalf("cannot list the uploads: %v", err)
	}
	m := map[string]string{}
	for _, u := range out.Uploads {
		m[aws.ToString(u.UploadId)] = aws.ToString(u.Key)
	}
	return m
}

// Want fails the test unless the object is there with that body.
func (b *Bucket) Want(key, body string) {
	b.t.Helper()
	o, ok := b.Get(key)
	switch {
	case !ok:
		b.t.Errorf("%q is not in S3", key)
	case !bytes.Equal(o.Body, []byte(body)):
		b.t.Errorf("%q is %s in S3, want %s", key, short(string(o.Body)), short(body))
	}
}

// WantNone fails the test when there is an object.
func (b *Bucket) WantNone(key string) {
	b.t.Helper()
	if o, ok := b.Get(key); ok {
		b.t.Errorf("%q is in S3: %s", key, short(string(o.Body)))
	}
}

func short(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%q... (%d bytes)", s[:60], len(s))
	}
	return fmt.Sprintf("%q", s)
}

func (b *Bucket) ctx() context.Context { return context.Background() }

func isNotFound(err error) bool {
	var e smithy.APIError
	return errors.As(err, &e) && (e.ErrorCode() == "NoSuchKey" || e.ErrorCode() == "NotFound")
}

// PutWith stores an object with a checksum of that algorithm: "CRC64NVME".
func (b *Bucket) PutWith(key, body, algorithm string) {
	b.t.Helper()
	in := &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: strings.NewReader(body), ChecksumAlgorithm: types.ChecksumAlgorithm(algorithm)}
	if _, err := b.SDK.PutObject(b.ctx(), in); err != nil {
		b.t.Fatalf("cannot put %q: %v", key, err)
	}
}
