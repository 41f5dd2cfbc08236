package cache

import (
	"math/bits"
	"sync/atomic"
)

// bitmap says which blocks are here. Bits are set by one goroutine at a time (File.wr) and
// read by any.
type bitmap []uint64

func newBitmap(n int64) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) get(i int64) bool {
	return atomic.LoadUint64(&b[i/64])&(1<<(i%64)) != 0
}

func (b bitmap) set(i int64)   { atomic.OrUint64(&b[i/64], 1<<(i%64)) }
func (b bitmap) clear(i int64) { atomic.AndUint64(&b[i/64], ^uint64(1<<(i%64))) }

// count is how many of the first n blocks are here.
func (b bitmap) count(n int64) (c int64) {
	for i := range b {
		w := atomic.LoadUint64(&b[i])
		if rest := n - int64(i)*64; rest < 64 {
			if rest <= 0 {
				break
			}
			w &= 1<<rest - 1
		}
		c += int64(bits.OnesCount64(w))
	}
	return c
}
