package cold

import (
	"container/heap"
	"time"
)

// keyHeap is a heap of dirty keys that know where in it they are.
type keyHeap struct {
	keys []*dirtyKey
	less func(a, b *dirtyKey) bool
	at   func(s *dirtyKey) *int // its place, counted from 1; 0: it is not in the heap
}

func byDue() *keyHeap {
	return &keyHeap{less: func(a, b *dirtyKey) bool { return a.due.Before(b.due) }, at: func(s *dirtyKey) *int { return &s.inReady }}
}

func byOrder(at func(s *dirtyKey) *int) *keyHeap {
	return &keyHeap{less: func(a, b *dirtyKey) bool { return a.order() < b.order() }, at: at}
}

func (h *keyHeap) Len() int           { return len(h.keys) }
func (h *keyHeap) Less(i, j int) bool { return h.less(h.keys[i], h.keys[j]) }
func (h *keyHeap) Swap(i, j int) {
	h.keys[i], h.keys[j] = h.keys[j], h.keys[i]
	*h.at(h.keys[i]), *h.at(h.keys[j]) = i+1, j+1
}
func (h *keyHeap) Push(x any) {
	s := x.(*dirtyKey)
	h.keys = append(h.keys, s)
	*h.at(s) = len(h.keys)
}
func (h *keyHeap) Pop() any {
	last := len(h.keys) - 1
	s := h.keys[last]
	h.keys[last] = nil
	h.keys = h.keys[:last]
	*h.at(s) = 0
	return s
}

// set puts a dirty key where it belongs, whether it is in the heap already or not.
func (h *keyHeap) set(s *dirtyKey) {
	if i := *h.at(s); i > 0 {
		heap.Fix(h, i-1)
	} else {
		heap.Push(h, s)
	}
}

func (h *keyHeap) remove(s *dirtyKey) {
	if i := *h.at(s); i > 0 {
		heap.Remove(h, i-1)
	}
}

// dueNow has every key that match accepts be due at a moment.
func (h *keyHeap) dueNow(now time.Time, match func(*dirtyKey) bool) {
	for _, s := range h.keys {
		if match(s) {
			s.due = now
		}
	}
	heap.Init(h) // in the time of one look at each
}

// min is the first dirty key, or nil.
func (h *keyHeap) min() *dirtyKey {
	if len(h.keys) == 0 {
		return nil
	}
	return h.keys[0]
}
