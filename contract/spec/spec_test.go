package spec

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matrx/sandbox/contract"
)

func TestCurrentIsValid(t *testing.T) {
	s := Current()
	for _, r := range s.Requirements {
		if familyTitles[r.Family()] == "" {
			t.Errorf("%s: family %q has no title in familyTitles", r.ID, r.Family())
		}
	}
}

func TestMarkdownIsCommitted(t *testing.T) {
	got, err := os.ReadFile("../../CORE_CONTRACT.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Current().Markdown() {
		t.Error("CORE_CONTRACT.md differs from contract.yaml: run go generate ./contract/...")
	}
}

// Every released version must stay kept by the current contract.
func TestReleasedVersionsAreKept(t *testing.T) {
	files, err := filepath.Glob("../released/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no released versions in contract/released: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		released, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, broken := range Compare(released, Current()) {
			t.Errorf("%s: %s; this needs a new major version", filepath.Base(file), broken)
		}
	}
}

func TestCompareFindsWhatBreaks(t *testing.T) {
	edit := func(old, new string) string {
		changed := strings.Replace(string(contract.YAML), old, new, 1)
		if changed == string(contract.YAML) {
			t.Fatalf("the contract has no %q", old)
		}
		return changed
	}
	command := "command: {name: jq, args: [--version], match: '^jq-(\\S+)', min: \"1.6\"}"
	for _, tc := range []struct{ name, yaml, want string }{
		{"unchanged", string(contract.YAML), ""},
		{"a tighter level", edit("level: SHOULD", "level: MUST"), "SEC-006 was tightened from SHOULD to MUST"},
		{"a weaker level", edit("level: MUST", "level: MAY"), "PATH-001 was weakened from MUST to MAY"},
		{"a newer tool", edit(command, strings.Replace(command, "1.6", "1.7", 1)), "CMD-006 was tightened from jq 1.6 to 1.7"},
		{"another tool", edit(command, strings.Replace(command, "name: jq", "name: jaq", 1)), "CMD-006 names another command"},
		{"another module", edit("module: rich", "module: colorama"), `PY-004 asks for module "colorama", was "rich"`},
		{"removed", edit("id: MAN-004", "id: MAN-104"), "MAN-004 was removed"},
		{"smuggled in", edit("id: MAN-004", "id: MAN-104"), "MAN-104 is new, and claims to exist since 1.0.0"},
		{"another profile", edit("profile: lifecycle", "profile: core"), "PATH-001 moved from profile lifecycle to core"},
		{"a profile with less in it", edit("includes: [lifecycle]", "includes: []"), "profile core does not include lifecycle any more"},
		{"reworded in silence", edit("`rg` is on PATH.", "`rg` is on PATH, in its newest version."), "CMD-007 was reworded without a new version"},
		{"a major version allows it", strings.Replace(edit("id: MAN-004", "id: MAN-104"), "version: 1.1.0", "version: 2.0.0", 1), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			newer, err := Parse([]byte(tc.yaml))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(Compare(Current(), newer), "\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("Compare says %q, want %q", got, tc.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	replace := func(old, new string) []byte {
		out := bytes.Replace(contract.YAML, []byte(old), []byte(new), 1)
		if bytes.Equal(out, contract.YAML) {
			t.Fatalf("the contract has no %q", old)
		}
		return out
	}
	for _, tc := range []struct {
		name string
		yaml []byte
		want string
	}{
		{"an unknown field", replace("since: 1.0.0", "sinec: 1.0.0"), "sinec"},
		{"an ID of another form", replace("id: PATH-001", "id: path-1"), "FAMILY-NNN"},
		{"the same ID twice", replace("id: PATH-002", "id: PATH-001"), "PATH-001 is there twice"},
		{"an unknown level", replace("level: MUST", "level: OUGHT"), `"OUGHT" is none of`},
		{"an unknown profile", replace("profile: core", "profile: kernel"), `no profile "kernel"`},
		{"a need that does not exist", replace("needs: [CMD-001]", "needs: [CMD-900]"), "CMD-900, which does not exist"},
		{"a circle of needs", replace("id: CMD-001\n    level: MUST", "id: CMD-001\n    needs: [PY-001]\n    level: MUST"), "needs itself"},
		{"a version from the future", replace("since: 1.0.0", "since: 1.2.0"), "later than the contract's own version"},
		{"a command without a group", replace(`'^Python (\S+)'`, `'^Python \S+'`), "one group"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.yaml)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse says %v, want something with %q", err, tc.want)
			}
		})
	}
}

func TestForSelects(t *testing.T) {
	s := Current()
	lifecycle, err := s.For("lifecycle", s.Version)
	if err != nil {
		t.Fatal(err)
	}
	core, err := s.For("core", s.Version)
	if err != nil {
		t.Fatal(err)
	}
	if len(core) != len(s.Requirements) || len(lifecycle) >= len(core) {
		t.Errorf("core has %d of %d requirements, lifecycle %d", len(core), len(s.Requirements), len(lifecycle))
	}
	older, _ := ParseVersion("0.9")
	if none, _ := s.For("core", older); len(none) != 0 {
		t.Errorf("a contract older than 1.0.0 has %d requirements, want none", len(none))
	}
	if _, err := s.For("kernel", s.Version); err == nil {
		t.Error("an unknown profile is accepted")
	}
}

func TestVersionOrder(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0.0", 0}, {"v22.1.0", "20", 1}, {"3.11.2", "3.9", 1}, {"2.47.3-1+deb13u1", "2.47.3", 0}, {"1.7.1rc1", "1.7", 1}, {"13", "14.1", -1},
	} {
		a, errA := ParseVersion(tc.a)
		b, errB := ParseVersion(tc.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := min(1, max(-1, a.Compare(b))); got != tc.want {
			t.Errorf("%s against %s: %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
	if _, err := ParseVersion("latest"); err == nil {
		t.Error(`"latest" is taken for a version`)
	}
}
