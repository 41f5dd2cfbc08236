package protocol

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/matrx/sandbox/internal/config"
)

// Endpoint is where requests go.
type Endpoint struct {
	Scheme string // "http" or "https"
	Host   string // of the Host header; with the port
	Base   string // encoded path in front of the key: "/" or "/BUCKET/"
	Socket string // path of the unix socket; empty for TCP
	AWS    bool   // AWS itself
	Name   string // as the configuration has it, for messages

	// Private says that no other host can change a body on the way unseen: TLS, a unix socket,
	// or Loopback. Elsewhere the signature covers the body's SHA-256.
	Private bool
}

// Path is the encoded path of a key.
func (e *Endpoint) Path(key string) string {
	if key == "" {
		if len(e.Base) > 1 {
			return e.Base[:len(e.Base)-1]
		}
		return e.Base
	}
	return string(EscapePath(append(make([]byte, 0, len(e.Base)+len(key)+16), e.Base...), key))
}

// Variant is which of AWS's addresses is meant ("Amazon S3 endpoints and quotas").
type Variant struct{ FIPS, DualStack bool }

// NewEndpoint reads the configuration; a variant is one of AWS's alone.
func NewEndpoint(c config.S3, v Variant) (Endpoint, error) {
	bad := func(why string) (Endpoint, error) {
		return Endpoint{}, fmt.Errorf("S3_ENDPOINT=%q: %s; give https://HOST[:PORT], http://HOST[:PORT], unix:///PATH, or nothing for AWS", c.Endpoint, why)
	}
	pathBase := "/" + EscapeQuery(c.Bucket) + "/"
	if strings.HasSuffix(c.Bucket, "--x-s3") {
		return Endpoint{}, fmt.Errorf("S3_BUCKET=%q: a directory bucket lists its keys in no order, and cannot hold a workspace; use a general purpose bucket", c.Bucket)
	}
	if c.Endpoint == "" {
		return awsEndpoint(c, v, pathBase), nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return bad(err.Error())
	}
	e := Endpoint{Scheme: u.Scheme, Host: u.Host, Base: pathBase, Name: c.Endpoint}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return bad("a socket needs an absolute path")
		}
		e.Scheme, e.Host, e.Socket, e.Private = "http", "localhost", u.Path, true
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
	e.Private = u.Scheme == "https" || Loopback(u.Hostname())
	if !c.ForcePathStyle && !isAddress(u.Hostname()) && dnsName(c.Bucket) {
		e.Host, e.Base = c.Bucket+"."+u.Host, "/"
	}
	return e, nil
}

// awsEndpoint is the regional one ("Amazon S3 endpoints and quotas").
func awsEndpoint(c config.S3, v Variant, pathBase string) Endpoint {
	service := "s3"
	if v.FIPS {
		service += "-fips"
	}
	if v.DualStack {
		service += ".dualstack"
	}
	host := service + "." + c.Region + "." + DNSSuffix(c.Region)
	e := Endpoint{Scheme: "https", Host: host, Base: pathBase, AWS: true, Name: "https://" + host, Private: true}
	// A bucket with a dot in its name does not match the certificate's wildcard.
	if !c.ForcePathStyle && dnsName(c.Bucket) && !strings.Contains(c.Bucket, ".") {
		e.Host, e.Base = c.Bucket+"."+host, "/"
	}
	return e
}

// DNSSuffix is that of the region's partition (partitions.json of the SDKs).
func DNSSuffix(region string) string {
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

// Loopback says whether a host is this machine.
func Loopback(host string) bool {
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
