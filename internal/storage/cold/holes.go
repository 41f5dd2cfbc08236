package cold

import (
	"errors"
	"fmt"

	"github.com/matrx/sandbox/internal/storage/cold/cache"
	"github.com/matrx/sandbox/internal/storage/objectstore"
)

// holesMost is how much of holes a file may have that goes up, in bytes: S3 has no holes, and they are sent and
// kept as zeros.
const holesMost = 1 << 30

// errHoles is a file that is much longer than what was written to it.
var errHoles = errors.New("S3 has no holes, and would have to be sent them as zeros; make the file shorter (truncate -s), or keep it outside the cold path")

func (j *job) checkHoles() error {
	if j.sent() <= holesMost {
		return nil
	}
	sent := []objectstore.Range{{Off: 0, End: j.size}}
	if j.plan != nil {
		sent = j.plan.Sent
	}
	holes := int64(0)
	for _, r := range sent {
		if holes += j.snapshot.Holes(cache.Range(r), holesMost-holes); holes > holesMost {
			return fmt.Errorf("more than %d of its %d bytes are holes: %w", holesMost, j.size, errHoles)
		}
	}
	return nil
}
