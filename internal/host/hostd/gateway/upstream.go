package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	emptyPayload    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	hashHeader      = "X-Amz-Content-Sha256"
)

// idleConns bounds the connections to the store that are kept open: about as many as a
// sandbox has requests under way at its busiest.
const idleConns = 128

// Upstream is a store and how to reach it.
type Upstream struct {
	Bucket      string
	Region      string                  // needed for the signature
	Endpoint    string                  // http://... or https://...; empty: AWS
	PathStyle   bool                    // http://HOST/BUCKET/KEY, else http://BUCKET.HOST/KEY where the endpoint allows it
	Credentials aws.CredentialsProvider //

	// Dial reaches an endpoint that has no network address; nil: TCP.
	Dial func(ctx context.Context) (net.Conn, error)
}

// store is an upstream that is being used.
type store struct {
	base        *url.URL // with the bucket in host or path
	region      string
	credentials aws.CredentialsProvider
	signer      *v4.Signer
	transport   *http.Transport
}

// errCredentials says that the request was not sent: there is nothing to sign it with.
var errCredentials = errors.New("the host has no credentials for the store")

// ErrCredentialsAwaited is what Upstream.Credentials gives while it will have some later: the
// client tries again.
var ErrCredentialsAwaited = errors.New("the credentials for the store are awaited")

func (u Upstream) open(ctx context.Context) (*store, error) {
	params := s3.EndpointParameters{Bucket: &u.Bucket, Region: &u.Region, ForcePathStyle: &u.PathStyle}
	if u.Endpoint != "" {
		params.Endpoint = &u.Endpoint
	}
	at, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where the bucket %q is: %w; check the endpoint and the region", u.Bucket, err)
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConns:          idleConns,
		MaxIdleConnsPerHost:   idleConns,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // it would add a header after the signature
	}
	if u.Dial != nil {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return u.Dial(ctx) }
	}
	return &store{
		base:        &at.URI,
		region:      u.Region,
		credentials: u.Credentials,
		transport:   t,
		signer: v4.NewSigner(func(o *v4.SignerOptions) {
			o.DisableURIPathEscaping = true // S3 signs the path as it is sent
		}),
	}, nil
}

// url is the address of a key, or of the bucket when key is empty.
func (s *store) url(key string, params url.Values) *url.URL {
	u := *s.base
	base := strings.TrimSuffix(u.Path, "/")
	u.Path = base + "/" + key
	u.RawPath = escape(base) + "/" + escape(key)
	if key == "" && base != "" {
		u.Path, u.RawPath = base, ""
	}
	u.RawQuery = params.Encode()
	return &u
}

// RoundTrip signs and sends. It is last, so that what is signed is what is sent.
func (s *store) RoundTrip(r *http.Request) (*http.Response, error) {
	creds, err := s.credentials.Retrieve(r.Context())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredentials, err)
	}
	hash := r.Header.Get(hashHeader)
	if hash == "" {
		if hash = unsignedPayload; r.ContentLength == 0 {
			hash = emptyPayload
		}
		r.Header.Set(hashHeader, hash)
	}
	if err := s.signer.SignHTTP(r.Context(), creds, r, hash, "s3", s.region, time.Now()); err != nil {
		return nil, fmt.Errorf("cannot sign the request: %w", err)
	}
	return s.transport.RoundTrip(r)
}
