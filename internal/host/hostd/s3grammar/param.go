package s3grammar

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Param gives the reason why a query parameter is refused, or nil. The value is decoded.
func Param(name, value string) error {
	grammar, ok := params[name]
	if !ok {
		return fmt.Errorf("the parameter %q is not known", name)
	}
	if err := grammar(value); err != nil {
		return fmt.Errorf("the parameter %q: the value %q %w", name, value, err)
	}
	return nil
}

// params has the grammar of each parameter (S3 API reference).
var params = map[string]func(string) error{
	// Operations of parts. Stores make their own upload IDs; a client returns them.
	"uploadId":           token,
	"upload-id-marker":   token,
	"partNumber":         number,
	"part-number-marker": number,
	"max-parts":          number,
	"max-uploads":        number,

	// Lists.
	"prefix":             prefix,
	"delimiter":          position,
	"marker":             position,
	"key-marker":         position,
	"start-after":        position,
	"continuation-token": opaque,
	"list-type":          oneOf("2"),
	"encoding-type":      oneOf("url"),
	"fetch-owner":        oneOf("true", "false"),
	"max-keys":           number,
	"max-buckets":        number,

	// Versions.
	"versionId":         token,
	"version-id-marker": token,

	// The operation's name, which SDKs repeat.
	"x-id": matching(`has other characters than letters`, `^[A-Za-z]{1,64}$`),

	// A signature in the address.
	"X-Amz-Algorithm":      printable,
	"X-Amz-Content-Sha256": printable,
	"X-Amz-Credential":     printable,
	"X-Amz-Date":           printable,
	"X-Amz-Expires":        number,
	"X-Amz-Security-Token": printable,
	"X-Amz-Signature":      printable,
	"X-Amz-SignedHeaders":  printable,

	// Headers of the answer.
	"response-cache-control":       printable,
	"response-content-disposition": printable,
	"response-content-encoding":    printable,
	"response-content-language":    printable,
	"response-content-type":        printable,
	"response-expires":             printable,
}

// subresources choose an operation and have no value.
var subresources = []string{
	"accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption", "intelligent-tiering", "inventory",
	"legal-hold", "lifecycle", "location", "logging", "metrics", "notification", "object-lock", "ownershipControls",
	"policy", "policyStatus", "publicAccessBlock", "replication", "requestPayment", "restore", "retention", "tagging",
	"uploads", "versioning", "versions", "website",
}

func init() {
	for _, name := range subresources {
		params[name] = oneOf("")
	}
}

// maxText bounds a key (S3 User Guide, "Object key naming guidelines") and what is compared
// with keys; maxOpaque bounds what a store gave out itself.
const (
	maxText   = 1024
	maxOpaque = 4096
)

// token is an identifier that a store gave out. Stores encode random bytes: AWS with
// letters, digits, ".", "_" and "-", Ceph with a "~", others in base64, whose alphabet
// has "/". A path in it needs a segment "." or "..".
func token(v string) error {
	if len(v) > maxText || !tokenForm.MatchString(v) {
		return fmt.Errorf("is no identifier that a store gives out")
	}
	return Key(v)
}

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]*[A-Za-z0-9][A-Za-z0-9._~+/=-]*$`)

var number = matching("is no number", `^[0-9]{1,10}$`)

// position is text that is compared with keys and addresses none.
func position(v string) error { return text(v, maxText) }

// opaque is what a store gave out to continue a list. Some give the last key itself.
func opaque(v string) error { return text(v, maxOpaque) }

func text(v string, limit int) error {
	if len(v) > limit {
		return fmt.Errorf("has %d bytes; the limit is %d", len(v), limit)
	}
	if strings.ContainsRune(v, 0) {
		return fmt.Errorf("has a NUL")
	}
	return nil
}

var printable = matching("has other characters than printable ASCII", `^[ -~]*$`)

func matching(problem, pattern string) func(string) error {
	form := regexp.MustCompile(pattern)
	return func(v string) error {
		if !form.MatchString(v) {
			return fmt.Errorf("%s", problem)
		}
		return nil
	}
}

func oneOf(allowed ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(allowed, v) {
			return fmt.Errorf("is not one of %q", allowed)
		}
		return nil
	}
}
