package verdict

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var one = Record{
	Digest: "sha256:" + strings.Repeat("a", 64), Image: "x:latest", Verdict: "not conformant", Contract: "1.0.0", Profile: "core",
	Suite: "abc", Ended: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Failed: []string{"MAN-001"},
}

func TestARecordIsFoundByTheImagesDigest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "made")
	if _, err := Find(dir, one.Digest); !errors.Is(err, ErrNone) {
		t.Errorf("before there is a record: %v", err)
	}
	older := one
	older.Verdict = "conformant"
	for _, r := range []Record{older, one} {
		if err := Save(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Find(dir, one.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Find(dir, "sha256:"+strings.Repeat("b", 64)); !errors.Is(err, ErrNone) {
		t.Errorf("another image: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want one file", entries, err)
	}
}

func TestRecordsThatCannotBeTrustedAreErrors(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, strings.Repeat("a", 64)+".json")
	for text, want := range map[string]string{
		`{"image_digest":`:       "cannot read",
		`{"image_digest":"sha"}`: "of another image",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Find(dir, one.Digest); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	bad := one
	bad.Digest = "sha256:../../x"
	if err := Save(dir, bad); err == nil || !strings.Contains(err.Error(), "no digest") {
		t.Errorf("a digest that is a path: %v", err)
	}
}

func TestWhereRecordsAre(t *testing.T) {
	t.Setenv("HOME", "/home/x")
	for set, want := range map[string]string{"": "/home/x/.local/state", "/s": "/s", "relative": "/home/x/.local/state"} {
		t.Setenv("XDG_STATE_HOME", set)
		if got, err := Dir(); err != nil || got != want+"/matrx-sandbox/conformance" {
			t.Errorf("XDG_STATE_HOME=%q: %s, %v", set, got, err)
		}
	}
}
