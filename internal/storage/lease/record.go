package lease

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/matrx/sandbox/contract"
)

// record is the lease's body. It is JSON so that an operator can read which sandbox holds a workspace
// with any S3 tool.
type record struct {
	contract.LeaseHolder
	// Nonce is new in each renewal, so that no two versions have the same ETag.
	Nonce string `json:"nonce"`
	Seal  Seal   `json:"seal,omitzero"`
}

func (r record) encode() []byte {
	body, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and a bool
	}
	return append(body, '\n')
}

// maxRecord bounds what is read of a lease; ours have some 200 bytes.
const maxRecord = 64 << 10

func decode(body []byte) (record, error) {
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return record{}, fmt.Errorf("cannot decode the lease: %w", err)
	}
	return r, nil
}

// stored is a lease as the server returned it.
type stored struct {
	// record is zero when the body is not one: the lease of an unknown holder, which expires
	// like any other.
	record
	etag     string
	modified time.Time // Last-Modified
	date     time.Time // Date of the response; zero when the server sent none
}

// age is how long ago it was written, by the server's clock; 0 when the server sends no Date, or
// rounds that of the object up.
func (s stored) age() time.Duration {
	if s.date.IsZero() || s.modified.IsZero() {
		return 0
	}
	return max(s.date.Sub(s.modified), 0)
}

func (s stored) expired() bool { return s.age() > expireAfter }
