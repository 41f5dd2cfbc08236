package s3server

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/matrx/sandbox/internal/unixhttp"
)

// emptySHA256 is the SHA-256 of nothing, the payload hash of a request without body.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// newCredentials gives a random access key (20 characters) and secret key (40).
func newCredentials() (access, secret string) {
	// rand.Text has 26 characters of base32: 130 bits each.
	return "SBX" + rand.Text()[:17], (rand.Text() + rand.Text())[:40]
}

// makeBuckets makes the buckets through the server's own front door, so that they
// are what a client's CreateBucket would have made.
func makeBuckets(ctx context.Context, i Info, buckets []string) error {
	endpoint, client := i.client()
	defer client.CloseIdleConnections()
	for _, b := range buckets {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, endpoint+"/"+b, nil)
		if err != nil {
			return fmt.Errorf("cannot make the bucket %q: %w", b, err)
		}
		req.Header.Set("X-Amz-Content-Sha256", emptySHA256)
		creds := aws.Credentials{AccessKeyID: i.AccessKey, SecretAccessKey: i.SecretKey}
		if err := v4.NewSigner().SignHTTP(ctx, creds, req, emptySHA256, "s3", i.Region, time.Now()); err != nil {
			return fmt.Errorf("cannot make the bucket %q: %w", b, err)
		}
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("cannot make the bucket %q: %w", b, err)
		}
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		res.Body.Close()
		if res.StatusCode != http.StatusOK && !strings.Contains(string(body), "BucketAlready") {
			return fmt.Errorf("cannot make the bucket %q: %s: %s", b, res.Status, body)
		}
	}
	return nil
}

// client gives an HTTP client of the first endpoint and the URL to use with it.
func (i Info) client() (string, *http.Client) {
	path, ok := unixhttp.Path(i.Endpoints[0])
	if !ok {
		return i.Endpoints[0], &http.Client{Transport: &http.Transport{}}
	}
	return "http://localhost", &http.Client{Transport: unixhttp.Transport(path)}
}
