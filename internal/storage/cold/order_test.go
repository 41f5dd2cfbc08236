package cold_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/testbed"
)

// TestOrderOfChanges writes, renames and removes files at random: when an object goes, everything that was written
// before that is in S3, under any name.
func TestOrderOfChanges(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	b := newBed(t, throughProxy, quiet(time.Millisecond))
	b.sh(`ls`)
	b.proxy.Add(testbed.Fault{When: testbed.Match{Verb: "PUT"}, Do: testbed.Slow(5 * time.Millisecond)})
	// Each file is written once, holds its number, and is removed, or renamed to a name of its own.
	var removed, kept []int   // by number, in the order of removal and of writing
	files := map[int]string{} // where each is; empty: it was removed
	last := map[int]string{}  // where a removed one was
	before := map[int]int{}   // how many of kept were written before a removal
	name := func(n int) string { return fmt.Sprintf("d%d/f%04d", n%5, n) }
	b.sh(`mkdir d0 d1 d2 d3 d4`)
	number := func(key string) string { return filepath.Base(key)[:min(5, len(filepath.Base(key)))] }
	check := func() {
		// What was to go when the objects are listed was to go before they are.
		deleted, there := map[string]bool{}, map[string]bool{}
		for _, r := range b.proxy.Requests() {
			if r.Verb == "DELETE" && !strings.HasSuffix(r.Key, "/") {
				deleted[filepath.Base(r.Key)] = true
			}
		}
		for _, k := range b.bucket.Keys(keys) {
			there[number(k)] = true
		}
		for _, n := range removed {
			if !deleted[filepath.Base(last[n])] {
				continue
			}
			for _, m := range kept[:before[n]] {
				if !there[number(name(m))] && files[m] != "" {
					t.Fatalf("f%04d goes, and f%04d, which was written before that, is not there", n, m)
				}
			}
		}
	}
	for n := range 600 {
		path := name(n)
		if err := os.WriteFile(b.path(path), []byte(fmt.Sprint(n)), 0o644); err != nil {
			t.Fatal(err)
		}
		files[n], kept = path, append(kept, n)
		if r.IntN(3) == 0 && n > 20 {
			m := n - 1 - r.IntN(20)
			if files[m] == "" {
				continue
			}
			if r.IntN(2) == 0 {
				to := strings.Replace(files[m], "/f", fmt.Sprintf("/f%04d-", m), 1)
				if strings.Contains(files[m], "-") {
					continue
				}
				if err := os.Rename(b.path(files[m]), b.path(to)); err != nil {
					t.Fatal(err)
				}
				files[m] = to
				continue
			}
			before[m], last[m] = len(kept), files[m]
			if err := os.Remove(b.path(files[m])); err != nil {
				t.Fatal(err)
			}
			files[m], removed = "", append(removed, m)
		}
		if n%30 == 0 {
			check()
		}
	}
	b.sync()
	check()
}
