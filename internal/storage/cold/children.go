package cold

import (
	"iter"
	"slices"
	"sort"
	"strings"
)

// children are the nodes of a directory in the order of their names: rows of pointers, since a directory may have a
// million of them. A change of one moves the pointers of a row, and loops may go on over changes.
type children struct {
	rows    [][]*node // none is empty
	count   int
	changes uint32
}

// rowMost is how many nodes a row has at most.
const rowMost = 512

func (c *children) len() int { return c.count }

// find gives the place of a name: that of its node, or where it would be.
func (c *children) find(name string) (row, at int, ok bool) {
	if len(c.rows) == 0 {
		return 0, 0, false
	}
	if row = len(c.rows) - 1; c.rows[row][0].name > name { // S3 lists in order: most is added at the end
		row = max(0, sort.Search(row, func(i int) bool { return c.rows[i][0].name > name })-1)
	}
	at, ok = slices.BinarySearchFunc(c.rows[row], name, func(n *node, name string) int { return strings.Compare(n.name, name) })
	return row, at, ok
}

// get is the node of a name, or nil.
func (c *children) get(name string) *node {
	if row, at, ok := c.find(name); ok {
		return c.rows[row][at]
	}
	return nil
}

// put adds a node, in place of another one of its name.
func (c *children) put(n *node) {
	row, at, ok := c.find(n.name)
	c.changes++
	if ok {
		c.rows[row][at] = n
		return
	}
	c.count++
	switch {
	case len(c.rows) == 0, at == rowMost && row == len(c.rows)-1: // behind all of them
		c.rows = append(c.rows, []*node{n})
		return
	case len(c.rows[row]) == rowMost:
		upper := slices.Clone(c.rows[row][rowMost/2:])
		clear(c.rows[row][rowMost/2:])
		c.rows[row] = c.rows[row][:rowMost/2]
		c.rows = slices.Insert(c.rows, row+1, upper)
		if at > rowMost/2 {
			row, at = row+1, at-rowMost/2
		}
	}
	c.rows[row] = slices.Insert(c.rows[row], at, n)
}

// remove takes a name out.
func (c *children) remove(name string) {
	row, at, ok := c.find(name)
	if !ok {
		return
	}
	c.changes++
	c.count--
	if c.rows[row] = slices.Delete(c.rows[row], at, at+1); len(c.rows[row]) == 0 {
		c.rows = slices.Delete(c.rows, row, row+1)
	}
}

// all goes through the nodes in the order of their names. A node that is there from beginning to end is seen once,
// also when others come and go between two steps.
func (c *children) all() iter.Seq[*node] {
	return func(yield func(*node) bool) {
		row, at, seen := 0, 0, c.changes
		for row < len(c.rows) {
			n := c.rows[row][at]
			name := n.name
			if !yield(n) {
				return
			}
			if at++; seen != c.changes {
				var ok bool
				if row, at, ok = c.find(name); ok {
					at++
				}
				seen = c.changes
			}
			if row < len(c.rows) && at >= len(c.rows[row]) {
				row, at = row+1, 0
			}
		}
	}
}
