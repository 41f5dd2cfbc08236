package wire

import (
	"encoding/json"

	"github.com/matrx/sandbox/contract"
)

// flushedRoom is what Flushed.Cut leaves for all but the list: numbers and the reason.
const flushedRoom = 4 << 10

// Cut shortens Unsaved to what one packet carries (UnsavedCount keeps the whole number)
// and the reason to 2 KiB, so that Send never refuses a Flushed.
func (f *Flushed) Cut() {
	if len(f.Reason) > 2<<10 {
		f.Reason = f.Reason[:2<<10]
	}
	room := MaxPacket - flushedRoom
	for i, u := range f.Unsaved {
		room -= encodedSize(u)
		if room < 0 {
			f.Unsaved = f.Unsaved[:i:i]
			return
		}
	}
}

// encodedSize is what u takes in a packet, its comma included. JSON can make six bytes of
// one, so the length of the strings says too little.
func encodedSize(u contract.Unsaved) int {
	encoded, err := json.Marshal(u)
	if err != nil {
		return MaxPacket
	}
	return len(encoded) + 1
}
