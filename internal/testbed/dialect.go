package testbed

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// BareETags makes of the server one that compares If-Match as it is with an ETag without quotes.
func BareETags() Action {
	return action(func(x *exchange) {
		switch v := x.in.Header.Get("If-Match"); {
		case v == "":
		case strings.HasPrefix(v, `"`):
			Refuse(http.StatusPreconditionFailed, "PreconditionFailed").arrange(x)
		default:
			x.in.Header.Set("If-Match", `"`+v+`"`)
			x.resign = true
		}
	})
}

// FoldBackslashes makes of the server one that takes a backslash in a key for a slash.
func FoldBackslashes() Action {
	return action(func(x *exchange) {
		path, query, _ := strings.Cut(x.in.RequestURI, "?")
		if folded := strings.ReplaceAll(path, "%5C", "/"); folded != path {
			x.in.RequestURI = folded + "?" + query
			x.resign = true
		}
	})
}

// RefuseBody refuses requests whose body has text in it, as Refuse does.
func RefuseBody(text string, status int, code string) Action {
	return action(func(x *exchange) {
		b, err := io.ReadAll(x.in.Body)
		x.in.Body = io.NopCloser(io.MultiReader(bytes.NewReader(b), errReader{err}))
		if bytes.Contains(b, []byte(text)) {
			Refuse(status, code).arrange(x)
		}
	})
}

// AnswerAnotherETag changes the ETag in the document of an answer, as that of a COMPLETE or a COPY.
func AnswerAnotherETag() Action {
	return action(func(x *exchange) {
		x.rewrite = func(body []byte) []byte {
			return regexp.MustCompile(`(<ETag>(?:&#34;|&quot;|")?)[0-9a-f]{8}`).ReplaceAll(body, []byte("${1}00000000"))
		}
	})
}
