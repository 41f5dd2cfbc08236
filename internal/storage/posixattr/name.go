package posixattr

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxKey is the longest key that S3 stores, in bytes ("Naming Amazon S3 objects").
const MaxKey = 1024

// Errors of Key, KeyWithPrefix and Path.
var (
	ErrKeyTooLong = errors.New("the key would be longer than the 1,024 bytes that S3 allows")
	errNotAPath   = errors.New("not a path below a directory")
)

// Key is the key, below the prefix, of a path below the root. The path has no leading
// or trailing slash; a directory's marker is its key with "/" appended.
// errNotAPath: empty, absolute, with an empty, "." or ".." component, or with a NUL.
func Key(path string) (string, error) {
	if why := badPath(path); why != "" {
		return "", fmt.Errorf("%w: %q %s", errNotAPath, path, why)
	}
	return escape(path), nil
}

// KeyWithPrefix is the whole key of a path: prefix, then Key, then "/" for a directory's
// marker. ErrKeyTooLong when that is more than S3 stores.
func KeyWithPrefix(prefix, path string, isDir bool) (string, error) {
	key, err := Key(path)
	if err != nil {
		return "", err
	}
	key = prefix + key
	if isDir {
		key += "/"
	}
	if len(key) > MaxKey {
		return "", fmt.Errorf("%w: %q needs %d bytes; shorten its name or those of its directories", ErrKeyTooLong, path, len(key))
	}
	return key, nil
}

// Path is the reverse of Key: what a key below the prefix names. A trailing slash says
// that it is a directory's marker. errNotAPath for what cannot be a path here; such a
// key is kept in S3 and reported, never rewritten.
func Path(key string) (path string, isDir bool, err error) {
	name, isDir := strings.CutSuffix(key, "/")
	if why := badPath(name); why != "" {
		return "", false, fmt.Errorf("%w: key %q %s", errNotAPath, key, why)
	}
	return unescape(name), isDir, nil
}

// badPath says why p is not a path below a directory; empty when it is one.
func badPath(p string) string {
	if p == "" {
		return "is empty"
	}
	if strings.IndexByte(p, 0) >= 0 {
		return "has a NUL byte"
	}
	if p[0] == '/' {
		return `begins with "/"`
	}
	for c := range strings.SplitSeq(p, "/") {
		switch c {
		case "":
			return `has an empty component ("//" or a second "/" at its end)`
		case ".", "..":
			return fmt.Sprintf("has the component %q", c)
		}
	}
	return ""
}

// escape and unescape are defined by each other, on ever shorter strings: a path that
// is fit for a key stays as it is, unless unescape would make something else of it.
func escape(path string) string {
	if plain(path) || clean(path) && unescape(path) == path {
		return path
	}
	return force(path)
}

func unescape(key string) string {
	if strings.IndexByte(key, '%') < 0 {
		return key
	}
	if u := decode(key); u != key && escape(u) == key {
		return u
	}
	return key
}

// plain says, fast, that s is printable ASCII without "%".
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '%' {
			return false
		}
	}
	return true
}

// clean says that a key can carry s: valid UTF-8 of characters that XML 1.0 (section
// 2.2) allows, without control characters.
func clean(s string) bool {
	for i := 0; i < len(s); {
		n, ok := character(s[i:])
		if !ok {
			return false
		}
		i += n
	}
	return true
}

// character measures the first character of s and says whether a key can carry it. Of
// an invalid one it measures what has to be escaped together.
func character(s string) (n int, ok bool) {
	c := s[0]
	if c < utf8.RuneSelf {
		return 1, c >= 0x20 && c != 0x7f
	}
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return 1, false
	}
	return n, r != 0xfffe && r != 0xffff // the two of the plane that XML excludes
}

const upperHex = "0123456789ABCDEF"

// force escapes all that a key cannot carry, and each "%" that decode would act on.
func force(path string) string {
	b := make([]byte, 0, len(path)+16)
	for i := 0; i < len(path); {
		n, ok := character(path[i:])
		if _, escaped := escapeAt(path, i); escaped {
			ok = false
		}
		for _, c := range []byte(path[i : i+n]) {
			if ok {
				b = append(b, c)
			} else {
				b = append(b, '%', upperHex[c>>4], upperHex[c&15])
			}
		}
		i += n
	}
	return string(b)
}

// decode replaces each escape that force can have written. decode(force(p)) == p, since
// force leaves no other "%" that is followed by such digits: what it inserts begins with
// "%", which is no digit.
func decode(key string) string {
	b := make([]byte, 0, len(key))
	for i := 0; i < len(key); {
		if c, ok := escapeAt(key, i); ok {
			b = append(b, c)
			i += 3
			continue
		}
		b = append(b, key[i])
		i++
	}
	return string(b)
}

// escapeAt reads an escape at s[i]: "%" and two upper-case digits that stand for a byte
// which force escapes. That is never NUL, "/" or "." (force writes none of them), so
// unescaping cannot change the components of a path.
func escapeAt(s string, i int) (byte, bool) {
	if s[i] != '%' || i+2 >= len(s) {
		return 0, false
	}
	hi, lo := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
	if hi < 0 || lo < 0 {
		return 0, false
	}
	c := byte(hi<<4 | lo)
	return c, c != 0 && (c < 0x20 || c >= 0x7f || c == '%')
}
