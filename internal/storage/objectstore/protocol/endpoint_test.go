package protocol

import (
	"strings"
	"testing"

	"github.com/matrx/sandbox/internal/config"
)

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		s3      config.S3
		url     string // of key "a b"
		private bool
	}{
		{config.S3{Bucket: "my-bucket", Region: "eu-west-1"}, "https://my-bucket.s3.eu-west-1.amazonaws.com/a%20b", true},
		{config.S3{Bucket: "my.bucket", Region: "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/my.bucket/a%20b", true},
		{config.S3{Bucket: "My_Old_Bucket", Region: "us-east-1"}, "https://s3.us-east-1.amazonaws.com/My_Old_Bucket/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "us-east-1", ForcePathStyle: true}, "https://s3.us-east-1.amazonaws.com/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "cn-north-1"}, "https://bbb.s3.cn-north-1.amazonaws.com.cn/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "us-gov-west-1"}, "https://bbb.s3.us-gov-west-1.amazonaws.com/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "us-isob-east-1"}, "https://bbb.s3.us-isob-east-1.sc2s.sgov.gov/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "us-iso-east-1"}, "https://bbb.s3.us-iso-east-1.c2s.ic.gov/a%20b", true},
		{config.S3{Bucket: "bbb", Region: "eusc-de-east-1"}, "https://bbb.s3.eusc-de-east-1.amazonaws.eu/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "https://s3.example.org"}, "https://bbb.s3.example.org/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "https://s3.example.org/", ForcePathStyle: true}, "https://s3.example.org/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "http://s3.example.org:9000", ForcePathStyle: true}, "http://s3.example.org:9000/bbb/a%20b", false},
		{config.S3{Bucket: "bbb", Endpoint: "http://127.0.0.1:9000"}, "http://127.0.0.1:9000/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "http://[::1]:9000"}, "http://[::1]:9000/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "http://10.0.0.1"}, "http://10.0.0.1/bbb/a%20b", false},
		{config.S3{Bucket: "bbb", Endpoint: "http://localhost:9000"}, "http://localhost:9000/bbb/a%20b", true},
		{config.S3{Bucket: "bbb", Endpoint: "unix:///run/x/s.sock"}, "http://localhost/bbb/a%20b", true},
	} {
		e, err := NewEndpoint(c.s3, Variant{})
		if got := e.Scheme + "://" + e.Host + e.Path("a b"); err != nil || got != c.url || e.Private != c.private {
			t.Errorf("%+v: %s, private %v, %v; want %s", c.s3, got, e.Private, err, c.url)
		}
		if e.Path("") == "" || strings.HasSuffix(e.Path(""), "//") {
			t.Errorf("%+v: the bucket is at %q", c.s3, e.Path(""))
		}
	}
	for _, c := range []config.S3{
		{Bucket: "bbb", Endpoint: "s3.example.org"}, {Bucket: "bbb", Endpoint: "ftp://x"}, {Bucket: "bbb", Endpoint: "https://"},
		{Bucket: "bbb", Endpoint: "https://x/base"}, {Bucket: "bbb", Endpoint: "https://user:pw@x"}, {Bucket: "bbb", Endpoint: "unix://relative"},
		{Bucket: "bbb", Endpoint: "unix:"}, {Bucket: "bbb", Endpoint: "https://x?y"}, {Bucket: "bbb", Endpoint: "http://[::1"},
		{Bucket: "b--use1-az4--x-s3", Region: "us-east-1"},
	} {
		if e, err := NewEndpoint(c, Variant{}); err == nil || !strings.Contains(err.Error(), "S3_") {
			t.Errorf("%+v: %+v, %v; want an error that names the variable", c, e, err)
		}
	}
}

func TestEndpointsOfAWSInEachVariant(t *testing.T) {
	for want, v := range map[string]Variant{
		"bbb.s3-fips.us-east-1.amazonaws.com":           {FIPS: true},
		"bbb.s3.dualstack.us-east-1.amazonaws.com":      {DualStack: true},
		"bbb.s3-fips.dualstack.us-east-1.amazonaws.com": {FIPS: true, DualStack: true},
	} {
		e, err := NewEndpoint(config.S3{Bucket: "bbb", Region: "us-east-1"}, v)
		if err != nil || e.Host != want {
			t.Errorf("%+v: %s, %v; want %s", v, e.Host, err, want)
		}
	}
}
