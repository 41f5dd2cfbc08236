package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/matrx/sandbox/contract/verdict"
)

const manifestOfMine = `{"name":"mine", "version":"1.0.0","tier":"variant","gpu": {"count": 2.50, "model":"<x>"},
 "capabilities":["colour"],"tools":["pen"],"versions":{"pen":"2.1"},"contract":{"version":"1.0.0","profile":"lifecycle"}}`

var digestOfMine = "sha256:" + strings.Repeat("1", 64)

func mine() Registered {
	return Registered{Reference: "example.com/mine:1", Digest: digestOfMine, Source: "engine", SizeMB: 5, Manifest: manifestOfMine}
}

// What is written is read again, letter by letter where it is the image's own.
func TestUserCatalogKeepsWhatItDoesNotKnow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not", "made", "catalog.yaml")
	if u, err := ReadUser(file); err != nil || len(u.Images) != 0 {
		t.Errorf("one that is not there: %v, %v", u, err)
	}
	r := mine()
	r.Tasks, r.Runtimes = []string{"paint"}, []string{"pen"}
	for range 2 { // the second time it is replaced, not added
		if err := UpdateUser(file, func(u *User) error { u.Put(r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	u, err := ReadUser(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Registered{r}, u.Images); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	m, err := u.Images[0].Parse()
	if err != nil || string(m.Extra["gpu"]) != `{"count": 2.50, "model":"<x>"}` {
		t.Errorf("the unknown field is %s, %v", m.Extra["gpu"], err)
	}
	if u.Find("mine") == nil || u.Find("example.com/mine:1") == nil || u.Find("other") != nil {
		t.Error("it is not found by its name and its reference")
	}
	if err := UpdateUser(file, func(u *User) error {
		if u.Remove("mine") || !u.Remove("example.com/mine:1") {
			t.Error("it is removed by its reference, and only so")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if u, err := ReadUser(file); err != nil || len(u.Images) != 0 {
		t.Errorf("after it was removed: %v, %v", u, err)
	}
}

func TestUserCatalogStaysWhenAChangeFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := UpdateUser(file, func(u *User) error { u.Put(mine()); return nil }); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(file)
	refused := errors.New("no")
	if err := UpdateUser(file, func(u *User) error { u.Images = nil; return refused }); !errors.Is(err, refused) {
		t.Errorf("the change's error is %v", err)
	}
	for name, text := range map[string]string{
		"not YAML": "images: [", "a misspelt field": "format: 1\nimage: []", "a newer format": "format: 2\nimages: []",
		"a manifest that is none": "format: 1\nimages: [{reference: x, manifest: '{'}]",
	} {
		other := filepath.Join(t.TempDir(), "catalog.yaml")
		if err := os.WriteFile(other, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := UpdateUser(other, func(*User) error { t.Errorf("%s: it is changed", name); return nil })
		if err == nil || !strings.Contains(err.Error(), other) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(other); string(after) != text {
			t.Errorf("%s: the file is %q", name, after)
		}
	}
	after, _ := os.ReadFile(file)
	if string(before) != string(after) {
		t.Errorf("the file has changed to %s", after)
	}
	if err := UpdateUser("", func(*User) error { return nil }); err == nil {
		t.Error("a user without a home has a catalog")
	}
}

// Two registrations at the same time are both kept.
func TestUserCatalogIsChangedByOneAtATime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog.yaml")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			r := mine()
			r.Reference = fmt.Sprintf("example.com/mine:%d", i)
			if err := UpdateUser(file, func(u *User) error { u.Put(r); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if u, err := ReadUser(file); err != nil || len(u.Images) != 20 {
		t.Errorf("%d images, %v; want 20", len(u.Images), err)
	}
}

// A catalog that is a symbolic link stays one.
func TestUserCatalogMayBeALink(t *testing.T) {
	dir := t.TempDir()
	link, real := filepath.Join(dir, "catalog.yaml"), filepath.Join(dir, "real.yaml")
	if err := errors.Join(os.WriteFile(real, []byte("format: 1\nimages: []\n"), 0o644), os.Symlink("real.yaml", link)); err != nil {
		t.Fatal(err)
	}
	if err := UpdateUser(link, func(u *User) error { u.Put(mine()); return nil }); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != "real.yaml" {
		t.Errorf("the link is %q, %v", to, err)
	}
	if u, err := ReadUser(real); err != nil || len(u.Images) != 1 {
		t.Errorf("what it names holds %v, %v", u, err)
	}
}

func TestWhereTheUserCatalogIs(t *testing.T) {
	t.Setenv("HOME", "/home/x")
	for set, want := range map[string]string{"": "/home/x/.config", "/c": "/c", "relative": "/home/x/.config"} {
		t.Setenv("XDG_CONFIG_HOME", set)
		if got, err := UserFile(); err != nil || got != want+"/matrx-sandbox/catalog.yaml" {
			t.Errorf("XDG_CONFIG_HOME=%q: %s, %v", set, got, err)
		}
	}
	t.Setenv("HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	if got, err := UserFile(); err != nil || got != "" {
		t.Errorf("without a home: %q, %v", got, err)
	}
}

// An image is selected when the suite has proven what its manifest promises: this image,
// that profile, that contract.
func TestStanding(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	dir, err := verdict.Dir()
	if err != nil {
		t.Fatal(err)
	}
	r := mine()
	if s, err := r.Standing(); s != Untested || err != nil {
		t.Errorf("before the suite ran: %s, %v", s, err)
	}
	for _, tc := range []struct {
		verdict, contract, profile string
		want                       Standing
	}{
		{"conformant", "1.0.0", "lifecycle", Conformant},
		{"conformant", "1.0.0", "core", Conformant}, // it includes lifecycle
		{"conformant", "1.0.0", "other", Untested},
		{"conformant", "0.9.0", "lifecycle", Untested},
		{"conformant", "2.0.0", "lifecycle", Untested},
		{"conformant", "?", "lifecycle", Untested},
		{"partial", "1.0.0", "lifecycle", Partial},
		{"not conformant", "1.0.0", "other", NotConformant},
		{"wonderful", "1.0.0", "lifecycle", Untested},
	} {
		if err := verdict.Save(dir, verdict.Record{Digest: digestOfMine, Verdict: tc.verdict, Contract: tc.contract, Profile: tc.profile}); err != nil {
			t.Fatal(err)
		}
		if s, err := r.Standing(); s != tc.want || err != nil {
			t.Errorf("%+v: %s, %v", tc, s, err)
		}
	}
	r.Digest = "sha256:" + strings.Repeat("2", 64)
	if s, err := r.Standing(); s != Untested || err != nil {
		t.Errorf("another image of that name: %s, %v", s, err)
	}
}

func TestOfferWithTheUsersImages(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	r := mine()
	r.Tasks = []string{"doodle"}
	family := offer(image("small", 1, "colour"))
	o, err := family.With(&User{Tasks: map[string]Task{"doodle": {Capabilities: []string{"colour"}}}, Images: []Registered{r}})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := o.Select(Request{Task: "doodle"}); err != nil || s.Image != "small" {
		t.Errorf("an untested image: %+v, %v", s, err)
	}
	s, err := o.Select(Request{Task: "doodle", Untested: true})
	if err != nil || s.Image != "mine" || s.Reference != r.Reference || s.Digest != digestOfMine || s.Suite != Untested || !s.Registered {
		t.Errorf("when it is asked for: %+v, %v", s, err)
	}
	if len(family.images) != 1 || family.taskNamed("doodle") != "" {
		t.Error("the offer itself has changed")
	}
	if _, err := family.With(&User{Tasks: map[string]Task{"draw": {}}}); err == nil || !strings.Contains(err.Error(), "draw") {
		t.Errorf("a task of the family's is defined again: %v", err)
	}
}

// Select, which importers call, takes the user's catalog from where UserFile says it is.
func TestSelectTakesTheUsersImages(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	ask := Request{Task: "doodle", Untested: true}
	if s, err := Select(ask); err == nil {
		t.Errorf("a task that neither the family nor the user has is answered with %+v", s)
	}
	file, err := UserFile()
	if err != nil {
		t.Fatal(err)
	}
	r := mine()
	r.Tasks = []string{"doodle"}
	if err := UpdateUser(file, func(u *User) error {
		u.Tasks = map[string]Task{"doodle": {Capabilities: []string{"colour"}}}
		u.Images = append(u.Images, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if s, err := Select(ask); err != nil || s.Image != "mine" || !s.Registered {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestMap(t *testing.T) {
	o := offer(image("large", 1, "colour ink", "pen", "brush", "python3"))
	r := mine()
	tasks, runtimes, err := o.Map(&r, []string{"draw", "paint"}, []string{"pen>=2"})
	if err != nil || !cmp.Equal(tasks, []string{"paint"}) || !cmp.Equal(runtimes, []string{"pen"}) {
		t.Errorf("it is mapped to %v and %v, %v", tasks, runtimes, err)
	}
	for _, tc := range []struct{ task, runtime, want string }{
		{"write", "", "cannot map example.com/mine:1 to the task write: it cannot do ink"},
		{"pain", "", "nearest are paint"},
		{"", "pen>=3", "it has pen 2.1 (pen>=3 was asked)"},
		{"", "brush", "it has no brush"},
		{"", "python", "it cannot do python; has no python3"},
		{"", "penn", "nearest are pen"},
	} {
		var tasks, runtimes []string
		if tc.task != "" {
			tasks = []string{tc.task}
		} else {
			runtimes = []string{tc.runtime}
		}
		if _, _, err := o.Map(&r, tasks, runtimes); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s%s: %v, want %q", tc.task, tc.runtime, err, tc.want)
		}
	}
}
