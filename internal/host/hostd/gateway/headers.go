package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// passed are the headers that go on to the store. A name that ends in "-" stands for
// all that begin with it.
var passed = []string{
	"Cache-Control",
	"Content-Disposition",
	"Content-Encoding",
	"Content-Language",
	"Content-Md5",
	"Content-Type",
	"Expires",
	"If-Match",
	"If-Modified-Since",
	"If-None-Match",
	"If-Unmodified-Since",
	"Range",
	"User-Agent",
	"X-Amz-Checksum-",
	"X-Amz-Content-Sha256",
	"X-Amz-Copy-Source-If-",
	"X-Amz-Copy-Source-Range",
	"X-Amz-Decoded-Content-Length",
	"X-Amz-Meta-",
	"X-Amz-Metadata-Directive",
	"X-Amz-Mp-Object-Size",
	"X-Amz-Sdk-Checksum-Algorithm",
	"X-Amz-Trailer",
}

// ours are the x-amz headers that are dropped or made anew: the client's own
// signature, and the copy source, which is encoded again.
var ours = []string{
	"X-Amz-Copy-Source",
	"X-Amz-Date",
	"X-Amz-Security-Token",
	"X-Amz-User-Agent",
}

func listed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(l string) bool {
		return name == l || strings.HasSuffix(l, "-") && strings.HasPrefix(name, l)
	})
}

// checkHeaders refuses what would reach beyond the objects themselves: access control
// lists, tags, locks, redirects, keys of the client's own. Other headers that are not
// passed on are of no consequence and dropped.
func checkHeaders(h http.Header) *refusal {
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-") && !listed(passed, name) && !listed(ours, name) {
			return denied("the header %q", strings.ToLower(name))
		}
	}
	// Each chunk of such a body is signed with the client's key, which is not ours.
	if v := h.Get("X-Amz-Content-Sha256"); strings.HasPrefix(v, "STREAMING-AWS4-") {
		return &refusal{http.StatusNotImplemented, "NotImplemented",
			"a body signed chunk by chunk cannot be signed again; send its SHA-256, UNSIGNED-PAYLOAD or STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
	}
	return nil
}

// forward gives the headers of the request to the store.
func forward(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if listed(passed, name) {
			out[name] = slices.Clone(values)
		}
	}
	return out
}
