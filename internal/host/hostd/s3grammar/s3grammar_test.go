package s3grammar

import (
	"path"
	"strings"
	"testing"
)

func TestParameters(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		ok          bool
	}{
		// Upload IDs as stores give them out.
		{"uploadId", "0b2f6a0e-3f6b-4d2b-8f0a-5f0d3f6f7c11", true},                                 // versitygw
		{"uploadId", "VXBsb2FkSUQ.5lRmEx_QiSn8wMuvYZ-A--", true},                                   // AWS
		{"uploadId", "2~wEfbRmCS5SxyTqRUdnSYkTNRS0bXqWW", true},                                    // Ceph
		{"uploadId", "NzU3ZGIyYTYtZWRlNC00N2ZjLWE0NjEtZDlkNmFkZjRhMDQ4LmJjOWQ4ZmI1LTM0MWQ=", true}, // MinIO
		{"uploadId", "AD+u/Zk==", true},                                                            // base64's own alphabet
		{"uploadId", "", false},
		{"uploadId", ".", false},
		{"uploadId", "//", false}, // the directory of all uploads of a key
		{"uploadId", "..", false},
		{"uploadId", "../../../users/other/hot", false},
		{"uploadId", "a/../b", false},
		{"uploadId", "a/..", false},
		{"uploadId", `..\..`, false},
		{"uploadId", "a\x00", false},
		{"uploadId", "%2e%2e%2f", false}, // a second decoding would make it a path
		{"uploadId", strings.Repeat("a", 1025), false},
		{"upload-id-marker", "../x", false},
		{"versionId", "null", true},
		{"versionId", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo", true},
		{"versionId", "..", false},
		{"version-id-marker", "a/./b", false},
		{"partNumber", "1", true},
		{"partNumber", "../1", false},
		{"partNumber", "-1", false},
		{"partNumber", "", false},
		{"part-number-marker", "1/../2", false},
		{"max-keys", "99999999999", false},
		{"prefix", "users/u/hot/.", true},
		{"prefix", "users/u/hot/..", true}, // begins "..data"
		{"prefix", "users/u/../other/", false},
		{"prefix", "users/u/./", false},
		{"prefix", "a\x00", false},
		{"prefix", strings.Repeat("a", 1025), false},
		{"start-after", "users/u/hot/a b\n", true},
		{"continuation-token", "users/u/../x", true}, // names nothing
		{"list-type", "2", true},
		{"list-type", "1", false},
		{"uploads", "", true},
		{"uploads", "x", false},
		{"x-id", "GetObject", true},
		{"x-id", "../", false},
		{"of-tomorrow", "", false},
	} {
		if err := Param(tc.name, tc.value); (err == nil) != tc.ok {
			t.Errorf("%s=%q gives %v, want admitted: %v", tc.name, tc.value, err, tc.ok)
		}
	}
}

// What is admitted as a token or a key stays below the directory to which it is joined.
func FuzzStaysBelow(f *testing.F) {
	for _, s := range []string{"a", "..", "a/../..", "/..", "../../x", ".//..", "a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if Key(s) != nil && token(s) != nil {
			return
		}
		if p := path.Join("/top/dir", s); p != "/top/dir" && !strings.HasPrefix(p, "/top/dir/") {
			t.Errorf("%q leads to %s", s, p)
		}
	})
}
