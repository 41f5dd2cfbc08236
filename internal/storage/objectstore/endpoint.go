package objectstore

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/matrx/sandbox/internal/config"
)

// endpoint is where requests go.
type endpoint struct {
	scheme string // "http" or "https"
	host   string // of the Host header; with the port
	base   string // encoded path in front of the key: "/" or "/BUCKET/"
	socket string // path of the unix socket; empty for TCP
	aws    bool   // AWS itself
	name   string // as the configuration has it, for messages

	// private says that nobody can change a body on the way unseen: TLS, a unix socket,
	// or loopback. Elsewhere the signature covers the body's SHA-256.
	private bool
}

// path is the encoded path of a key.
func (e *endpoint) path(key string) string {
	if key == "" {
		if len(e.base) > 1 {
			return e.base[:len(e.base)-1]
		}
		return e.base
	}
	return string(escapePath(append(make([]byte, 0, len(e.base)+len(key)+16), e.base...), key))
}

// newEndpoint reads the configuration.
func newEndpoint(c config.S3) (endpoint, error) {
	bad := func(why string) (endpoint, error) {
		return endpoint{}, fmt.Errorf("S3_ENDPOINT=%q: %s; give https://HOST[:PORT], http://HOST[:PORT], unix:///PATH, or nothing for AWS", c.Endpoint, why)
	}
	pathBase := "/" + escapeQuery(c.Bucket) + "/"
	if strings.HasSuffix(c.Bucket, "--x-s3") {
		return endpoint{}, fmt.Errorf("S3_BUCKET=%q: a directory bucket lists its keys in no order, and cannot hold a workspace; use a general purpose bucket", c.Bucket)
	}
	if c.Endpoint == "" {
		return awsEndpoint(c, pathBase), nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return bad(err.Error())
	}
	e := endpoint{scheme: u.Scheme, host: u.Host, base: pathBase, name: c.Endpoint}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return bad("a socket needs an absolute path")
		}
		e.scheme, e.host, e.socket, e.private = "http", "localhost", u.Path, true
		return e, nil
	case "http", "https":
	default:
		return bad("unknown scheme")
	}
	switch {
	case u.Hostname() == "":
		return bad("no host")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return bad("only a host and a port are understood")
	}
	e.private = u.Scheme == "https" || loopback(u.Hostname())
	if !c.ForcePathStyle && !isAddress(u.Hostname()) && dnsName(c.Bucket) {
		e.host, e.base = c.Bucket+"."+u.Host, "/"
	}
	return e, nil
}

// awsEndpoint is the regional one ("Amazon S3 endpoints and quotas").
func awsEndpoint(c config.S3, pathBase string) endpoint {
	host := "s3." + c.Region + "." + dnsSuffix(c.Region)
	e := endpoint{scheme: "https", host: host, base: pathBase, aws: true, name: "https://" + host, private: true}
	// A bucket with a dot in its name does not match the certificate's wildcard.
	if !c.ForcePathStyle && dnsName(c.Bucket) && !strings.Contains(c.Bucket, ".") {
		e.host, e.base = c.Bucket+"."+host, "/"
	}
	return e
}

// dnsSuffix is that of the region's partition (partitions.json of the SDKs).
func dnsSuffix(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "amazonaws.com.cn"
	case strings.HasPrefix(region, "eusc-"):
		return "amazonaws.eu"
	case strings.HasPrefix(region, "us-isob-"):
		return "sc2s.sgov.gov"
	case strings.HasPrefix(region, "us-isof-"):
		return "csp.hci.ic.gov"
	case strings.HasPrefix(region, "eu-isoe-"):
		return "cloud.adc-e.uk"
	case strings.HasPrefix(region, "us-iso-"):
		return "c2s.ic.gov"
	}
	return "amazonaws.com"
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// dnsName says that a bucket's name may be the first label of a host name.
func dnsName(bucket string) bool {
	for i := range len(bucket) {
		if c := bucket[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return len(bucket) >= 3 && len(bucket) <= 63
}
