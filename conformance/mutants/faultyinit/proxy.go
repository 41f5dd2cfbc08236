package main

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	"github.com/matrx/sandbox/internal/unixhttp"
)

// rule is what a proxy gets wrong. answer may answer a request itself and then returns
// true; modify may change what S3 answered. Either may be nil. Requests cannot be
// changed: their signature covers them.
type rule struct {
	answer func(w http.ResponseWriter, r *http.Request) bool
	modify func(*http.Response) error
}

// dropDeletes says yes to deletions of the home's files and does nothing.
func dropDeletes(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodDelete || !strings.Contains(r.URL.Path, "/hot/") {
		return false
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// noLease hides another's lease.
func noLease(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasSuffix(r.URL.Path, "/.sandbox/lease") {
		return false
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`<Error><Code>NoSuchKey</Code></Error>`))
		return true
	}
	if r.Method == http.MethodPut {
		w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
		return true
	}
	return false
}

// swallowConflicts tells the writer of a file that another program wrote first that it was stored.
func swallowConflicts(r *http.Response) error {
	if r.StatusCode != http.StatusPreconditionFailed || r.Request.Method != http.MethodPut || !strings.Contains(r.Request.URL.Path, "/hot/") {
		return nil
	}
	r.StatusCode, r.Status = http.StatusOK, "200 OK"
	r.Header = http.Header{"Etag": {`"0123456789abcdef0123456789abcdef"`}}
	r.Body, r.ContentLength = http.NoBody, 0
	return nil
}

// proxySocket is where a mutant finds the proxy in place of its endpoint.
const proxySocket = "/run/faultyinit.sock"

// serveProxy listens on a socket of its own and passes on to the endpoint what the rule
// does not answer.
func serveProxy(wrong rule, endpoint string) {
	upstream, ok := unixhttp.Path(endpoint)
	if !ok {
		return // a sandbox without storage
	}
	transport := unixhttp.Transport(upstream)
	transport.MaxIdleConnsPerHost = 64
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: "s3"}); p.Out.Host = p.In.Host },
		Transport:      transport,
		ModifyResponse: wrong.modify,
	}
	_ = os.Remove(proxySocket)
	l, err := net.Listen("unix", proxySocket)
	if err != nil {
		fatal(err)
	}
	if err := os.Chmod(proxySocket, 0o666); err != nil {
		fatal(err)
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if wrong.answer == nil || !wrong.answer(w, r) {
				proxy.ServeHTTP(w, r)
			}
		}))
	}()
}
