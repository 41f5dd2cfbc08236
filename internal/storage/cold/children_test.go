package cold

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestChildrenAgainstMap does to a directory what it does to a map.
func TestChildrenAgainstMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, names := range []int{3, 600, 5000} {
		c, want := &children{}, map[string]*node{}
		for range 8 * names {
			name := fmt.Sprintf("n%d", r.IntN(names))
			if r.IntN(5) < 3 {
				n := &node{name: name}
				c.put(n)
				want[name] = n
			} else {
				c.remove(name)
				delete(want, name)
			}
			if name = fmt.Sprintf("n%d", r.IntN(names)); c.get(name) != want[name] {
				t.Fatalf("%q is %v, not %v", name, c.get(name), want[name])
			}
		}
		var got []string
		for n := range c.all() {
			got = append(got, n.name)
			if want[n.name] != n {
				t.Errorf("%q is another node", n.name)
			}
		}
		if sorted := slices.Sorted(maps.Keys(want)); !slices.Equal(got, sorted) || c.len() != len(want) {
			t.Fatalf("%d of %d names, or in another order", len(got), len(want))
		}
		for _, name := range got {
			c.remove(name)
		}
		if c.len() != 0 || len(c.rows) != 0 {
			t.Errorf("%d nodes in %d rows are left", c.len(), len(c.rows))
		}
	}
}

// TestChildrenChangeDuringLoop: a node that is there from beginning to end is seen once.
func TestChildrenChangeDuringLoop(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		c, stays := &children{}, map[string]bool{}
		name := func(i int) string { return fmt.Sprintf("n%04d", i) }
		for i := range 1500 {
			if r.IntN(2) == 0 {
				c.put(&node{name: name(i)})
				stays[name(i)] = true
			}
		}
		seen := map[string]int{}
		for n := range c.all() {
			seen[n.name]++
			if r.IntN(4) > 0 {
				continue
			}
			for range r.IntN(30) {
				i := r.IntN(1500)
				if r.IntN(2) == 0 {
					c.put(&node{name: name(i)})
				} else {
					c.remove(name(i))
					delete(stays, name(i))
				}
			}
		}
		for n := range stays {
			if seen[n] != 1 {
				t.Fatalf("%q is seen %d times", n, seen[n])
			}
		}
		for n, times := range seen {
			if times > 1 {
				t.Fatalf("%q is seen %d times", n, times)
			}
		}
	}
}
