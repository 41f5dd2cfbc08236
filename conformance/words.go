package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// firstOf names some of a list, and how many more there are.
func firstOf(names []string) string {
	const some = 8
	if len(names) <= some {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:some], ", "), len(names)-some)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
