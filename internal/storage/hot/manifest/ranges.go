package manifest

// Range is a piece of the bundle that holds whole contents: what one GET brings.
type Range struct {
	Offset, Length int64
	Items          []int // the entries in it, counted from the manifest's first, in order
}

const (
	// rangeSize is how much one GET brings: enough that its latency does not matter,
	// little enough that several in memory do not either.
	rangeSize = 4 << 20

	// gapMax is how much that is not wanted is read with the rest, rather than asked
	// for in two requests.
	gapMax = 256 << 10
)

// Ranges cuts the bundle into pieces that hold every entry that is wanted, counted
// from the manifest's first one. One with nothing wanted is left out.
func (m *Manifest) Ranges(wanted func(item int) bool) ([]Range, error) {
	var ranges []Range
	item := 0
	for b := range m.blocks {
		entries, err := m.Block(b)
		if err != nil {
			return nil, err
		}
		for k := range entries {
			e := &entries[k]
			if e.Bundled && e.Size > 0 && wanted(item) {
				ranges = extend(ranges, item, e)
			}
			item++
		}
	}
	return ranges, nil
}

func extend(ranges []Range, item int, e *Entry) []Range {
	if n := len(ranges); n > 0 {
		r := &ranges[n-1]
		size := e.Offset + e.Size - r.Offset
		gap := e.Offset - (r.Offset + r.Length)
		if size <= rangeSize && gap >= 0 && gap <= gapMax {
			r.Length = size
			r.Items = append(r.Items, item)
			return ranges
		}
	}
	return append(ranges, Range{Offset: e.Offset, Length: e.Size, Items: []int{item}})
}

// RangeSize bounds the Length of a Range.
const RangeSize = rangeSize
