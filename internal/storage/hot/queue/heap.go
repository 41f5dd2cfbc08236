package queue

// heap is a binary heap of items that know their place in it, so that any of them can
// be taken out. An item is in at most one heap of each slot.
type heap struct {
	slot  slot
	less  func(a, b *item) bool
	items []*item
}

type slot int

const (
	slotQueue slot = iota // where the item waits for its turn
	slotHold              // writes that hold deletes back
	slotNew               // those of them that add an object
	slotStuck             // those of them that cannot be stored for now
	slotGroup             // the members of a group
	slotAge               // all that is expected to arrive, or all that is stuck
	slotSince             // everything
	slots
)

func byFirst(a, b *item) bool { return a.first < b.first }
func byDue(a, b *item) bool   { return a.due < b.due }
func bySince(a, b *item) bool { return a.since < b.since }

func byBarrier(a, b *item) bool {
	if a.barrier != b.barrier {
		return a.barrier < b.barrier
	}
	return a.first < b.first
}

func (h *heap) min() *item {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *heap) has(it *item) bool {
	i := int(it.place[h.slot]) - 1
	return i >= 0 && i < len(h.items) && h.items[i] == it
}

// put adds it, or finds its new place when its key has changed.
func (h *heap) put(it *item) {
	if !h.has(it) {
		h.items = append(h.items, it)
		it.place[h.slot] = uint32(len(h.items))
	}
	h.fix(int(it.place[h.slot]) - 1)
}

// take removes it when it is there.
func (h *heap) take(it *item) {
	if !h.has(it) {
		return
	}
	i, last := int(it.place[h.slot])-1, len(h.items)-1
	moved := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	it.place[h.slot] = 0
	if i != last {
		h.set(i, moved)
		h.fix(i)
	}
	if last == 0 {
		h.items = nil // a queue that was long once does not stay big
	}
}

func (h *heap) set(i int, it *item) {
	h.items[i] = it
	it.place[h.slot] = uint32(i + 1)
}

func (h *heap) fix(i int) {
	it := h.items[i]
	for i > 0 && h.less(it, h.items[(i-1)/2]) {
		h.set(i, h.items[(i-1)/2])
		i = (i - 1) / 2
	}
	for {
		c := 2*i + 1
		if c >= len(h.items) {
			break
		}
		if c+1 < len(h.items) && h.less(h.items[c+1], h.items[c]) {
			c++
		}
		if !h.less(h.items[c], it) {
			break
		}
		h.set(i, h.items[c])
		i = c
	}
	h.set(i, it)
}
