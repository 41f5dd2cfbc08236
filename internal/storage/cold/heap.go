package cold

import "container/heap"

// slotHeap is a heap of slots that know where in it they are.
type slotHeap struct {
	slots []*slot
	less  func(a, b *slot) bool
	at    func(s *slot) *int // the slot's place, counted from 1; 0: it is not in the heap
}

func byDue() *slotHeap {
	return &slotHeap{less: func(a, b *slot) bool { return a.due.Before(b.due) }, at: func(s *slot) *int { return &s.inReady }}
}

func byOrder(at func(s *slot) *int) *slotHeap {
	return &slotHeap{less: func(a, b *slot) bool { return a.order() < b.order() }, at: at}
}

func (h *slotHeap) Len() int           { return len(h.slots) }
func (h *slotHeap) Less(i, j int) bool { return h.less(h.slots[i], h.slots[j]) }
func (h *slotHeap) Swap(i, j int) {
	h.slots[i], h.slots[j] = h.slots[j], h.slots[i]
	*h.at(h.slots[i]), *h.at(h.slots[j]) = i+1, j+1
}
func (h *slotHeap) Push(x any) {
	s := x.(*slot)
	h.slots = append(h.slots, s)
	*h.at(s) = len(h.slots)
}
func (h *slotHeap) Pop() any {
	last := len(h.slots) - 1
	s := h.slots[last]
	h.slots[last] = nil
	h.slots = h.slots[:last]
	*h.at(s) = 0
	return s
}

// set puts a slot where it belongs, whether it is in the heap already or not.
func (h *slotHeap) set(s *slot) {
	if i := *h.at(s); i > 0 {
		heap.Fix(h, i-1)
	} else {
		heap.Push(h, s)
	}
}

func (h *slotHeap) remove(s *slot) {
	if i := *h.at(s); i > 0 {
		heap.Remove(h, i-1)
	}
}

// min is the first slot, or nil.
func (h *slotHeap) min() *slot {
	if len(h.slots) == 0 {
		return nil
	}
	return h.slots[0]
}
