package gateway

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
)

// refusal is an answer in the form of S3's errors (S3 API reference, "Error responses").
type refusal struct {
	status  int
	code    string
	message string
}

func denied(format string, args ...any) *refusal {
	return &refusal{http.StatusForbidden, "AccessDenied", "This sandbox may not ask for that: " + fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *refusal {
	return &refusal{http.StatusBadRequest, "InvalidRequest", fmt.Sprintf(format, args...)}
}

// unavailable is what clients try again.
func unavailable(message string) *refusal {
	return &refusal{http.StatusServiceUnavailable, "ServiceUnavailable", message}
}

func (f *refusal) write(w http.ResponseWriter, r *http.Request) {
	body, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"Error"`
		Code     string
		Message  string
		Resource string
	}{Code: f.code, Message: f.message, Resource: r.URL.Path})
	if err != nil { // not UTF-8: leave out what the client sent
		body = []byte("<Error><Code>" + f.code + "</Code></Error>")
	}
	body = append([]byte(xml.Header), body...)
	h := w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if f.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}
