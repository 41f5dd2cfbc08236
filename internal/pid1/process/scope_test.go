package process

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScopeOwns(t *testing.T) {
	// number: parent
	tree := map[int]int{1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 30: 10, 31: 30, 40: 99, 50: 51, 51: 50, 60: 0}
	all := map[int]Proc{}
	for pid, ppid := range tree {
		all[pid] = Proc{PID: pid, PPID: ppid}
	}
	for _, tc := range []struct {
		name    string
		self    int
		kept    []int
		spared  []int
		want    []int
		unknown []int
	}{
		{"as PID 1: all but itself, those without a parent here and those with a broken chain included", 1, nil, nil, []int{10, 11, 12, 20, 30, 31, 40, 50, 51, 60}, nil},
		{"as PID 1: neither storage nor its descendants", 1, []int{30}, nil, []int{10, 11, 12, 20, 40, 50, 51, 60}, nil},
		{"as PID 1: not the exec server, but its descendants", 1, []int{30}, []int{11}, []int{10, 12, 20, 40, 50, 51, 60}, nil},
		{"elsewhere: descendants", 10, nil, nil, []int{11, 12, 30, 31}, []int{40, 50, 51}},
		{"elsewhere: but storage", 10, []int{30}, nil, []int{11, 12}, []int{40, 50, 51}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scope := Scope{Self: tc.self}
			var got, unknown []int
			for pid, p := range all {
				ours, known := scope.owns(p, all, tc.kept, tc.spared)
				if ours {
					got = append(got, pid)
				}
				if !known {
					unknown = append(unknown, pid)
				}
			}
			slices.Sort(got)
			slices.Sort(unknown)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ours: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(tc.unknown, unknown); diff != "" {
				t.Errorf("not known: -want +got\n%s", diff)
			}
		})
	}
}
