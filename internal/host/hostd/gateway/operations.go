package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/matrx/sandbox/internal/host/hostd/s3grammar"
)

// operation is one operation of the S3 API, told by method, address and parameters.
type operation struct {
	name   string
	method string
	object bool     // addresses an object, else the bucket
	need   []string // parameters that make it this operation
	may    []string // parameters that it may have as well
	lists  bool     // answers with keys: prefix must be within the scope
	copies bool     // may have a copy source
	stores bool     // has a body that the store keeps
	takes  bool     // makes the store take room
}

// operations are all that pass. Of those that a method and an address allow, the
// one whose needed parameters are all there is meant; the more particular come first.
var operations = []operation{
	{name: "ListParts", method: http.MethodGet, object: true, need: []string{"uploadId"}, may: []string{"max-parts", "part-number-marker"}},
	{name: "GetObject", method: http.MethodGet, object: true, may: []string{"partNumber"}},
	{name: "HeadObject", method: http.MethodHead, object: true, may: []string{"partNumber"}},
	{name: "UploadPart", method: http.MethodPut, object: true, need: []string{"uploadId", "partNumber"}, copies: true, stores: true, takes: true},
	{name: "PutObject", method: http.MethodPut, object: true, copies: true, stores: true, takes: true},
	{name: "CreateMultipartUpload", method: http.MethodPost, object: true, need: []string{"uploads"}, takes: true},
	{name: "CompleteMultipartUpload", method: http.MethodPost, object: true, need: []string{"uploadId"}},
	{name: "AbortMultipartUpload", method: http.MethodDelete, object: true, need: []string{"uploadId"}},
	{name: "DeleteObject", method: http.MethodDelete, object: true},
	{name: "HeadBucket", method: http.MethodHead},
	{name: "ListMultipartUploads", method: http.MethodGet, need: []string{"uploads", "prefix"}, lists: true,
		may: []string{"delimiter", "encoding-type", "key-marker", "max-uploads", "upload-id-marker"}},
	{name: "ListObjectsV2", method: http.MethodGet, need: []string{"list-type", "prefix"}, lists: true,
		may: []string{"continuation-token", "delimiter", "encoding-type", "fetch-owner", "max-keys", "start-after"}},
	{name: "ListObjects", method: http.MethodGet, need: []string{"prefix"}, lists: true,
		may: []string{"delimiter", "encoding-type", "marker", "max-keys"}},
}

// find gives the operation that a request means.
func find(method string, object bool, params url.Values) (operation, *refusal) {
	i := slices.IndexFunc(operations, func(o operation) bool {
		return o.method == method && o.object == object && !slices.ContainsFunc(o.need, func(p string) bool { return !params.Has(p) })
	})
	if i < 0 {
		return operation{}, denied("%s of %s with the parameters %q", method, what(object), names(params))
	}
	op := operations[i]
	for name, values := range params {
		// SDKs repeat the operation's name in x-id.
		if name != "x-id" && !slices.Contains(op.need, name) && !slices.Contains(op.may, name) {
			return operation{}, denied("%s with the parameter %q", op.name, name)
		}
		if len(values) != 1 {
			return operation{}, badRequest("the parameter %q is given %d times", name, len(values))
		}
		if err := s3grammar.Param(name, values[0]); err != nil {
			return operation{}, denied("%s: %v", op.name, err)
		}
	}
	return op, nil
}

func what(object bool) string {
	if object {
		return "an object"
	}
	return "the bucket"
}

func names(params url.Values) string {
	var out []string
	for n := range params {
		out = append(out, n)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
