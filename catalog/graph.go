package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Children lists the images that extend name directly, sorted.
func (c *Catalog) Children(name string) []string {
	var out []string
	for _, im := range c.images {
		if im.Extends == name {
			out = append(out, im.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Levels orders the images so that each is built after the one that it extends: the
// images of a level can be built side by side.
func (c *Catalog) Levels() [][]string {
	var levels [][]string
	for _, name := range slices.Sorted(maps.Keys(c.images)) {
		depth := len(c.Ancestors(name))
		for len(levels) <= depth {
			levels = append(levels, nil)
		}
		levels[depth] = append(levels[depth], name)
	}
	return levels
}

// Tree draws which image extends which, as text.
func (c *Catalog) Tree() string {
	var b strings.Builder
	var draw func(name, indent, branch, below string)
	draw = func(name, indent, branch, below string) {
		fmt.Fprintf(&b, "%s%s%s\n", indent, branch, name)
		children := c.Children(name)
		for i, child := range children {
			if i == len(children)-1 {
				draw(child, indent+below, "`-- ", "    ")
			} else {
				draw(child, indent+below, "|-- ", "|   ")
			}
		}
	}
	for _, root := range c.Children("") {
		draw(root, "", "", "")
	}
	return b.String()
}

// Mermaid draws which image extends which, for a Markdown page.
func (c *Catalog) Mermaid() string {
	var b strings.Builder
	b.WriteString("graph TD\n")
	for _, name := range c.Names() {
		im := c.images[name]
		fmt.Fprintf(&b, "  %s[\"%s<br/>%s\"]\n", name, name, im.Tier)
		if im.Extends != "" {
			fmt.Fprintf(&b, "  %s --> %s\n", im.Extends, name)
		}
	}
	return b.String()
}
