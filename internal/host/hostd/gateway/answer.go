package gateway

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// What a store says in an error is meant for the holder of the credentials: the access key,
// the text that was signed, the account and the user, the store's own hosts. The client gets
// the code, by which it decides, and the region; the rest is for the host's log.

// maxError bounds what is read of an error; the store's have some 2 KB.
const maxError = 64 << 10

// storeError is what is read of the store's errors (S3 API reference, "Error responses").
type storeError struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	Region  string `xml:",omitempty"`
}

// errorHeaders are those of an error that go on to the client.
var errorHeaders = []string{"Connection", "Date", "Retry-After", "X-Amz-Bucket-Region", "X-Amz-Delete-Marker", "X-Amz-Request-Id"}

// hideError replaces an error of the store's by one that says what the client needs. A copy
// and a completed upload may have one in an answer of 200.
func (g *Gateway) hideError(res *http.Response, q request) error {
	failed := res.StatusCode >= http.StatusMultipleChoices && res.StatusCode != http.StatusNotModified
	late := res.StatusCode == http.StatusOK && (q.source != "" || q.name == "CompleteMultipartUpload")
	if !failed && !late {
		return nil
	}
	if late {
		return g.hideLateError(res, q)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxError))
	if err != nil {
		return err
	}
	res.Body.Close()
	var e storeError
	_ = xml.Unmarshal(body, &e) // a proxy may answer in another language
	g.tellError(res, q, e)
	for name := range res.Header {
		if !listed(errorHeaders, name) {
			res.Header.Del(name)
		}
	}
	answer, err := e.public()
	if err != nil {
		return err
	}
	if len(body) == 0 { // an answer to HEAD
		answer = nil
	} else if res.Header.Set("Content-Type", "application/xml"); e.Code == "" {
		res.Header.Set("Content-Type", "text/plain")
	}
	replaceBody(res, answer)
	return nil
}

// hideLateError reads the beginning of an answer, as long as that may be an error.
func (g *Gateway) hideLateError(res *http.Response, q request) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxError))
	if err != nil {
		return err
	}
	var e storeError
	isError := xml.Unmarshal(body, &e) == nil && e.Code != "" // any other answer has another element
	if !isError {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), res.Body), res.Body}
		return nil
	}
	res.Body.Close()
	g.tellError(res, q, e)
	answer, err := e.public()
	if err != nil {
		return err
	}
	replaceBody(res, answer)
	return nil
}

func (e storeError) public() ([]byte, error) {
	if e.Code == "" {
		return []byte("what answers the host is no S3; its log says more\n"), nil
	}
	about := "request"
	if strings.Contains(strings.ToLower(e.Message), "checksum") {
		about = "checksum" // a client that reads it leaves checksums out
	}
	e.Message = "the store refuses the " + about + "; the log of the host says what it answers"
	b, err := xml.Marshal(e)
	return append([]byte(xml.Header), b...), err
}

// tellError logs what the client is not told. That a key is not there, or a condition does
// not hold, is no error of the host's, and neither is the refusal that a probe asks for.
func (g *Gateway) tellError(res *http.Response, q request, e storeError) {
	if res.StatusCode == http.StatusNotFound && e.Code != "NoSuchBucket" || res.StatusCode == http.StatusPreconditionFailed {
		return
	}
	if g.scope.probes(q.key) && (res.StatusCode == http.StatusBadRequest || res.StatusCode == http.StatusNotImplemented) {
		g.log.Debug("the store refused a probe", "event", "gateway_probe_refused", "method", res.Request.Method, "status", res.StatusCode, "code", e.Code, "reason", e.Message)
		return
	}
	if n := g.unanswered.Add(1); notable(n) {
		g.log.Warn("the store refused a request", "event", "gateway_upstream_refused", "method", res.Request.Method, "status", res.StatusCode, "code", e.Code, "reason", e.Message, "count", n)
	}
}

func replaceBody(res *http.Response, body []byte) {
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	res.Header.Set("Content-Length", strconv.Itoa(len(body)))
}
