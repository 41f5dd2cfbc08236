package protocol

// EscapePath encodes a key for the path of a URL: all but unreserved characters and "/"
// (RFC 3986, 2.3; "Create a signed AWS API request", URI encode).
func EscapePath(b []byte, key string) []byte { return appendEscaped(b, key, true) }

// EscapeQuery encodes a value of a query: all but unreserved characters.
func EscapeQuery(v string) string { return string(appendEscaped(make([]byte, 0, len(v)+8), v, false)) }

func appendEscaped(b []byte, s string, slash bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', c == '/' && slash:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
