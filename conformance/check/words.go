package check

import (
	"fmt"
	"slices"
	"strings"
)

// Sample names some of a list, in order, and how many more there are.
func Sample(names []string) string {
	const some = 8
	names = slices.Sorted(slices.Values(names))
	if len(names) <= some {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:some], ", "), len(names)-some)
}
