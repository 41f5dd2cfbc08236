package s3grammar

import (
	"fmt"
	"strings"
)

// Key gives the reason why a key is refused, or nil. S3 allows such keys; a store whose
// objects are files would leave the key's directory with them.
func Key(key string) error {
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("has the segment %q", segment)
		}
	}
	if strings.ContainsRune(key, 0) {
		return fmt.Errorf("has a NUL")
	}
	return nil
}

// prefix is the rule of Key for the beginning of a key, whose last segment may be cut
// anywhere: "a/." begins "a/.profile".
func prefix(v string) error {
	if err := position(v); err != nil {
		return err
	}
	if i := strings.LastIndexByte(v, '/'); i >= 0 {
		return Key(v[:i])
	}
	return nil
}
