package posixattr

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNames(t *testing.T) {
	for _, c := range []struct{ path, key string }{
		{"a", "a"},
		{"notes/a b+c.md", "notes/a b+c.md"},
		{"café/日本", "café/日本"},
		{`back\slash#frag?x&y`, `back\slash#frag?x&y`},
		{"100%", "100%"},
		{"a%20b", "a%20b"},     // not ours: a blank is never escaped
		{"a%2Fb", "a%2Fb"},     // nor a slash
		{"a%2e%2e", "a%2e%2e"}, // nor a dot
		{"a%0ab", "a%0ab"},     // lower case is not canonical
		{"%00", "%00"},
		{"new\nline", "new%0Aline"},
		{"tab\tbell\adel\x7f", "tab%09bell%07del%7F"},
		{"latin\xe9", "latin%E9"},
		{"latin%E9", "latin%25E9"}, // would be read as the one above
		{"latin%25E9", "latin%2525E9"},
		{"100%25", "100%25"}, // what it stands for, 100%, is its own key
		{"%", "%"},
		{"%%0A", "%%250A"}, // the second "%" would be read as the beginning of a newline
		{"%\n", "%%0A"},
		{"\xff\xfe", "%FF%FE"},
		{"\uffff", "%EF%BF%BF"},
		{"\ufffd", "\ufffd"},
		{"cut\xe6\x97", "cut%E6%97"},
		{"surrogate\xed\xa0\x80", "surrogate%ED%A0%80"},
		{"...", "..."},
	} {
		key, err := Key(c.path)
		if err != nil || key != c.key {
			t.Errorf("Key(%q) = %q, %v; want %q", c.path, key, err, c.key)
		}
		path, isDir, err := Path(c.key)
		if err != nil || path != c.path || isDir {
			t.Errorf("Path(%q) = %q, %v, %v; want %q", c.key, path, isDir, err, c.path)
		}
		if path, isDir, err = Path(c.key + "/"); err != nil || path != c.path || !isDir {
			t.Errorf("Path(%q) = %q, %v, %v; want the directory %q", c.key+"/", path, isDir, err, c.path)
		}
	}
}

func TestNotAPath(t *testing.T) {
	for _, k := range []string{"", "/", "//", ".", "..", "../", "./", "/a", "//a", "a//b", "a//", "a/../b", "a/.", "a/..", "../a", "a\x00b"} {
		if p, d, err := Path(k); !errors.Is(err, errNotAPath) {
			t.Errorf("Path(%q) = %q, %v, %v; want ErrNotAPath", k, p, d, err)
		}
		if key, err := Key(k); !errors.Is(err, errNotAPath) {
			t.Errorf("Key(%q) = %q, %v; want ErrNotAPath", k, key, err)
		}
	}
	if _, err := Key("a/"); !errors.Is(err, errNotAPath) {
		t.Errorf("Key of a trailing slash: %v", err)
	}
}

func TestKeyTooLong(t *testing.T) {
	prefix := "users/u/hot/"
	fits := strings.Repeat("x", MaxKey-len(prefix))
	if k, err := KeyWithPrefix(prefix, fits, false); err != nil || len(k) != MaxKey {
		t.Errorf("%d bytes: %v", len(k), err)
	}
	if _, err := KeyWithPrefix(prefix, fits, true); !errors.Is(err, ErrKeyTooLong) {
		t.Errorf("one more for the slash: %v", err)
	}
	if _, err := KeyWithPrefix(prefix, fits[3:]+"\n", false); err != nil {
		t.Errorf("an escape that just fits: %v", err)
	}
	if _, err := KeyWithPrefix(prefix, fits[2:]+"\n", false); !errors.Is(err, ErrKeyTooLong) {
		t.Errorf("an escape that does not fit: %v", err)
	}
}

// FuzzPath: every path of any bytes comes back, through a key that S3 and XML can carry.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a", "%", "%25", "%2525E9", "%0A", "\n", "\xff", "%E9", "é", "a/b", "%%0A", "%2", "%25250A", "%C3%A9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if badPath(p) != "" {
			return
		}
		key, err := Key(p)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(key) || !clean(key) {
			t.Fatalf("Key(%q) = %q, which a key cannot carry", p, key)
		}
		got, isDir, err := Path(key)
		if err != nil || isDir || got != p {
			t.Fatalf("Path(Key(%q) = %q) = %q, %v, %v", p, key, got, isDir, err)
		}
		// The other way round: an object under a clean key in S3 goes back to that key.
		if !clean(p) {
			return
		}
		path, _, err := Path(p)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Key(path); err != nil || back != p {
			t.Fatalf("key %q is path %q, whose key is %q, %v", p, path, back, err)
		}
		if strings.Count(path, "/") != strings.Count(p, "/") {
			t.Fatalf("key %q has other components as path %q", p, path)
		}
	})
}
