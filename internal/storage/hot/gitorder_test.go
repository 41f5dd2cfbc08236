package hot

import "testing"

func TestGitPlace(t *testing.T) {
	for path, want := range map[string]struct {
		dir    string
		object bool
	}{
		"a.txt":                     {"", false},
		".git/HEAD":                 {".git", false},
		".git/objects/ab/cd":        {".git", true},
		"p/.git/refs/heads/main":    {"p/.git", false},
		"p/.git/objects/pack/x.idx": {"p/.git", true},
		"p/.git/objects":            {"p/.git", false},
		"p/.git":                    {"", false}, // a submodule's file
		"bare.git/packed-refs":      {"bare.git", false},
		"bare.git/objects/info/x":   {"bare.git", true},
		".git/modules/m/objects/1":  {".git", true},
		".git/worktrees/w/HEAD":     {".git", false},
		"objects/1":                 {"", false},
		"p/objects/x.git/HEAD":      {"p/objects/x.git", false},
	} {
		if dir, object := gitPlace(path); dir != want.dir || object != want.object {
			t.Errorf("%s: %q, %v", path, dir, object)
		}
	}
}
