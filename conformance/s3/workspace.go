package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/matrx/sandbox/internal/unixhttp"
)

// Workspace is one user's part of the bucket, as an S3 tool sees it.
type Workspace struct {
	UserID string
	Link   *Link
	client *s3.Client
}

// Object is an object with its content.
type Object struct {
	Key      string // below the user's prefix: hot/notes.txt
	Body     []byte
	ETag     string
	Metadata map[string]string
}

// Workspace gives user a link of its own in dir.
func (s *Server) Workspace(user, dir string) (*Workspace, error) {
	link, err := NewLink(dir, s.Socket)
	if err != nil {
		return nil, err
	}
	client := s3.New(s3.Options{
		Region: s.Region, UsePathStyle: true, BaseEndpoint: aws.String("http://s3"),
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		HTTPClient:  &http.Client{Transport: unixhttp.Transport(s.Socket)},
	})
	return &Workspace{UserID: user, Link: link, client: client}, nil
}

func (w *Workspace) key(key string) *string { return aws.String("users/" + w.UserID + "/" + key) }

// Put writes an object as another tool would: metadata may be nil.
func (w *Workspace) Put(ctx context.Context, key string, body []byte, metadata map[string]string) error {
	_, err := w.client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(Bucket), Key: w.key(key), Body: bytes.NewReader(body), Metadata: metadata})
	if err != nil {
		return fmt.Errorf("cannot put %s into the suite's S3: %w", key, err)
	}
	return nil
}

// Get reads an object; ok is false when there is none.
func (w *Workspace) Get(ctx context.Context, key string) (o Object, ok bool, err error) {
	out, err := w.client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(Bucket), Key: w.key(key)})
	var none *types.NoSuchKey
	if errors.As(err, &none) {
		return Object{}, false, nil
	}
	if err != nil {
		return Object{}, false, fmt.Errorf("cannot get %s from the suite's S3: %w", key, err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return Object{}, false, fmt.Errorf("cannot get %s from the suite's S3: %w", key, err)
	}
	return Object{Key: key, Body: body, ETag: aws.ToString(out.ETag), Metadata: out.Metadata}, true, nil
}

// List returns the keys below a prefix, sorted, and their ETags.
func (w *Workspace) List(ctx context.Context, prefix string) (keys []string, etags map[string]string, err error) {
	etags = map[string]string{}
	base := *w.key("")
	pages := s3.NewListObjectsV2Paginator(w.client, &s3.ListObjectsV2Input{Bucket: aws.String(Bucket), Prefix: w.key(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot list %s in the suite's S3: %w", prefix, err)
		}
		for _, o := range page.Contents {
			key := strings.TrimPrefix(aws.ToString(o.Key), base)
			keys = append(keys, key)
			etags[key] = aws.ToString(o.ETag)
		}
	}
	return keys, etags, nil
}
