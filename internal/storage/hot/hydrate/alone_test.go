package hydrate

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrx/sandbox/internal/storage/objectstore"
	"github.com/matrx/sandbox/internal/testbed"
)

const shortPatience = 100 * time.Millisecond

// One key for which the store never has a proper answer stays in S3 and is named; the rest of the home
// comes, long before the start's time is over.
func TestKeyThatFailsAloneDoesNotStopTheStart(t *testing.T) {
	failing := testbed.Refuse(500, "InternalError")
	for name, c := range map[string]struct {
		key   string
		do    testbed.Action
		setup func(h *home)
		files int64
	}{
		"500":         {key: "dir/f7", do: failing, files: 19},
		"a reset":     {key: "dir/f7", do: testbed.ResetBefore(), files: 19},
		"a directory": {key: "empty/", do: failing, setup: func(h *home) { h.put("empty/", "") }, files: 20},
		"the largest": {key: "large", do: failing, setup: func(h *home) { h.put("large", strings.Repeat("x", 17<<20)) }, files: 20},
		"the only one": {key: "alone", do: failing, setup: func(h *home) {
			for i := range 20 {
				h.bucket.Delete(h.key(fmt.Sprintf("dir/f%d", i)))
			}
			h.put("alone", "x")
		}},
		"one to be compared": {key: "dir/f7", do: failing, setup: func(h *home) { h.write("dir/f7", "8") }, files: 19},
		"one that replaces":  {key: "dir/f7", do: failing, setup: func(h *home) { h.hydrate(); h.put("dir/f7", "newer") }},
	} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			h := newHome(t)
			for i := range 20 {
				h.put(fmt.Sprintf("dir/f%d", i), fmt.Sprint(i))
			}
			if c.setup != nil {
				c.setup(h)
			}
			before, _ := os.ReadFile(h.at(c.key))
			h.patience = shortPatience
			h.through().Add(testbed.Fault{When: testbed.Match{Regexp: "/hot/" + c.key + "$"}, Do: c.do})
			r := h.hydrate()
			if r.Files != c.files || len(r.Kept) != 1 || r.Kept[0].Path != c.key {
				t.Errorf("%d files, kept %v; want %d and %s", r.Files, r.Kept, c.files, c.key)
			}
			if after, _ := os.ReadFile(h.at(c.key)); string(after) != string(before) {
				t.Errorf("%s has %q, and had %q", c.key, after, before)
			}
		})
	}
}

// The accelerators have keys of their own, which may fail as well: every file is fetched by itself.
func TestAcceleratorThatFailsAloneDoesNotStopTheStart(t *testing.T) {
	for name, key := range map[string]string{"manifest": "/manifest$", "bundle": "/bundle-"} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			h := newHome(t)
			for i := range 200 {
				h.put(fmt.Sprintf("dir/f%d", i), fmt.Sprint(i))
			}
			h.hydrate()
			h.publish()
			h.lose()
			h.patience = shortPatience
			h.through().Add(testbed.Fault{When: testbed.Match{Verb: "GET", Regexp: key}, Do: testbed.Refuse(500, "InternalError")})
			if r := h.hydrate(); r.Files != 200 || r.Bundled != 0 || len(r.Kept) != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A store that fails in the middle is waited for: no key is given up, however often it fails.
func TestStoreThatFailsInTheMiddleIsWaitedFor(t *testing.T) {
	leaks(t)
	h := newHome(t)
	for i := range 20 {
		h.put(fmt.Sprintf("dir/f%d", i), fmt.Sprint(i))
	}
	h.patience = shortPatience
	p := h.through()
	p.Add(testbed.Fault{When: testbed.Match{Verb: "GET", Regexp: "/hot/"}, After: 15, Times: 200, Do: testbed.Refuse(500, "InternalError")})
	if r := h.hydrate(); r.Files != 20 || len(r.Kept) != 0 {
		t.Errorf("%d files, kept %v", r.Files, r.Kept)
	}
}

// A store that asks for patience with one key gets it: it may mean all that is asked of it at that time.
func TestThrottledKeyIsWaitedFor(t *testing.T) {
	leaks(t)
	h := newHome(t)
	for i := range 20 {
		h.put(fmt.Sprintf("dir/f%d", i), fmt.Sprint(i))
	}
	h.patience = shortPatience
	h.through().Add(testbed.Fault{When: testbed.Match{Verb: "GET", Suffix: "/dir/f7"}, Times: 40, Do: testbed.Refuse(503, "SlowDown")})
	if r := h.hydrate(); r.Files != 20 || len(r.Kept) != 0 {
		t.Errorf("%d files, kept %v", r.Files, r.Kept)
	}
}

// Where more keys fail than are answered, the store fails: the start does too, in its time, and says why.
func TestMostKeysFail(t *testing.T) {
	leaks(t)
	h := newHome(t)
	for i := range 20 {
		h.put(fmt.Sprintf("dir/f%d", i), fmt.Sprint(i))
	}
	h.patience, h.cfg.HydrateTimeout = shortPatience, 3*time.Second
	h.through().Add(testbed.Fault{When: testbed.Match{Verb: "GET", Regexp: "/hot/dir/f1?[0-7]$"}, Do: testbed.Refuse(500, "InternalError")})
	_, err := h.tryHydrate(t.Context())
	var late *TimeoutError
	if !errors.As(err, &late) || !errors.Is(err, objectstore.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// What cannot be brought, and is not here, is not in the journal: the sync would take it for deleted.
func TestKeptObjectIsNotTakenForDeleted(t *testing.T) {
	for name, do := range map[string]testbed.Action{
		"archived": testbed.Refuse(403, "InvalidObjectState"),
		"failing":  testbed.Refuse(500, "InternalError"),
	} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			h := newHome(t)
			for _, key := range []string{"lost/f", "changed", "kept", "other", "empty/"} {
				h.put(key, map[bool]string{false: "x"}[key == "empty/"])
			}
			h.hydrate()
			must(t, os.RemoveAll(h.at("lost")))
			must(t, os.Remove(h.at("empty")))
			h.put("changed", "newer")
			h.patience = shortPatience
			h.through().Add(testbed.Fault{When: testbed.Match{Regexp: "/hot/(lost/f|changed|empty/)$"}, Do: do})
			var kept []string
			for _, k := range h.hydrate().Kept {
				kept = append(kept, k.Path)
			}
			if slices.Sort(kept); !slices.Equal(kept, []string{"changed", "empty/", "lost/f"}) {
				t.Errorf("kept %q", kept)
			}
			for path, want := range map[string]bool{"lost/f": false, "empty": false, "kept": true} {
				h.wantJournal(path, want, false)
			}
			h.want("changed", "x")
		})
	}
}
